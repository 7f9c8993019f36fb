/**
 * The plugin's calls of an engine 29, on a machine of the lab that runs the real daemon and no engine: in the order and
 * shape recorded on 29.7.2, over the daemon's own socket. What libnetwork does with the link between the calls is done
 * too, so that a container is a network namespace that can be pinged.
 *
 * For what only that engine has: the container's name in RequestAddress.Options. It starts no process and knows no
 * restart policy. After a refusal it does what the engine does, and no more.
 */
import { expect } from 'chai';
import { randomId } from '../../core/ids.ts';
import type { Machine } from './machine.ts';
import type { Place } from './ping.ts';
import { LabPluginSocket } from './plugin-socket.ts';

const GATEWAY_REQUEST = { RequestAddressType: 'com.docker.network.gateway' };

export interface NetworkOf29 {
  readonly id: string;
  readonly poolId: string;
  /** With its prefix length. */
  readonly gateway: string;
}

export interface ContainerOf29 {
  readonly name: string;
  readonly ip: string;
  readonly mac: string;
  readonly network: NetworkOf29;
  readonly endpointId: string;
  /** Its name in its network namespace comes from this one. */
  readonly link: string;
  readonly sandboxKey: string;
  readonly place: Place;
}

export interface RunOf29 {
  /** `--ip` */
  readonly ip?: string;
}

/** What the daemon said; the engine prints it behind the name of the method. */
export class Refused extends Error {}

export class Engine29 {
  readonly #machine: Machine;
  readonly #socket: LabPluginSocket;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#socket = new LabPluginSocket(machine);
  }

  /** `docker network create --subnet SUBNET -o parent=eth0 --ipam-opt …` */
  async createNetwork(subnet: string, options: Readonly<Record<string, string>> = {}): Promise<NetworkOf29> {
    const id = randomId(32);
    const generic = { parent: 'eth0' };
    await this.#call('NetworkDriver.GwAllocCheck', { Options: { 'com.docker.network.generic': generic } });
    const spaces = await this.#call('IpamDriver.GetDefaultAddressSpaces', '');
    const AddressSpace = textOf(spaces, 'LocalDefaultAddressSpace');
    const asked = { AddressSpace, Pool: subnet, SubPool: '', Options: options, V6: false };
    const pool = await this.#call('IpamDriver.RequestPool', asked);
    const poolId = textOf(pool, 'PoolID');
    const gateway = textOf(
      await this.#call('IpamDriver.RequestAddress', {
        PoolID: poolId,
        Address: '',
        Options: GATEWAY_REQUEST,
      }),
      'Address',
    );
    await this.#call('NetworkDriver.CreateNetwork', {
      NetworkID: id,
      Options: {
        'com.docker.network.enable_ipv4': true,
        'com.docker.network.enable_ipv6': false,
        'com.docker.network.generic': generic,
      },
      IPv4Data: [{ AddressSpace, AuxAddresses: {}, Gateway: gateway, Pool: textOf(pool, 'Pool') }],
      IPv6Data: [],
    });
    return { id, poolId, gateway };
  }

  /** `docker network rm` */
  async removeNetwork({ id, poolId, gateway }: NetworkOf29): Promise<void> {
    await this.#call('IpamDriver.ReleaseAddress', { PoolID: poolId, Address: bare(gateway) });
    await this.#call('IpamDriver.ReleasePool', { PoolID: poolId });
    await this.#call('NetworkDriver.DeleteNetwork', { NetworkID: id });
  }

  /** `docker run --name NAME`, and `docker start`. @throws Refused, after the engine's own cleaning up */
  async run(network: NetworkOf29, name: string, { ip = '' }: RunOf29 = {}): Promise<ContainerOf29> {
    const endpointId = randomId(32);
    const ids = { NetworkID: network.id, EndpointID: endpointId };
    const sandboxKey = `/var/run/docker/netns/${randomId(6)}`;
    // From 28 on the sandbox is there before anything is asked.
    await this.#machine.sh(
      `mkdir -p /var/run/docker/netns; touch ${sandboxKey}; unshare --net=${sandboxKey} true`,
    );
    const address = textOf(
      await this.#call('IpamDriver.RequestAddress', {
        PoolID: network.poolId,
        Address: ip,
        Options: { 'com.docker.network.endpoint.name': name },
      }),
      'Address',
    );
    const release = { PoolID: network.poolId, Address: bare(address) };
    const ports = {
      'com.docker.network.endpoint.exposedports': [],
      'com.docker.network.portmap': [],
    };
    const created = await this.#call('NetworkDriver.CreateEndpoint', {
      ...ids,
      Interface: { Address: address, AddressIPv6: '', MacAddress: '' },
      Options: ports,
    }).catch(async (error: unknown) => {
      await this.#call('IpamDriver.ReleaseAddress', release);
      throw error;
    });
    const { MacAddress: mac = '' } = (created['Interface'] ?? {}) as { readonly MacAddress?: string };
    const join = { ...ids, SandboxKey: sandboxKey, Options: ports };
    const joined = await this.#call('NetworkDriver.Join', join).catch(async (error: unknown) => {
      await this.#call('NetworkDriver.Leave', ids);
      await this.#call('NetworkDriver.DeleteEndpoint', ids);
      await this.#call('IpamDriver.ReleaseAddress', release);
      throw error;
    });
    const { SrcName: link } = joined['InterfaceName'] as { readonly SrcName: string };
    const enter = `nsenter --net=${sandboxKey}`;
    await this.#machine.sh(
      `ip link set ${link} netns ${sandboxKey} && ${enter} ip link set ${link} name eth0 address ${mac} && ` +
        `${enter} ip addr add ${address} dev eth0 && ${enter} ip link set eth0 up && ${enter} ip link set lo up`,
    );
    await this.#call('NetworkDriver.ProgramExternalConnectivity', { ...ids, Options: ports });
    await this.#call('NetworkDriver.EndpointOperInfo', ids);
    const place: Place = {
      command: (words) => this.#machine.command(['nsenter', `--net=${sandboxKey}`, ...words]),
    };
    return { name, ip: bare(address), mac, network, endpointId, link, sandboxKey, place };
  }

  /** `docker stop` and `docker rm -f` */
  async remove({ network, endpointId, ip, link, sandboxKey }: ContainerOf29): Promise<void> {
    const ids = { NetworkID: network.id, EndpointID: endpointId };
    await this.#call('NetworkDriver.RevokeExternalConnectivity', ids);
    await this.#call('NetworkDriver.Leave', ids);
    const enter = `nsenter --net=${sandboxKey}`;
    await this.#machine.sh(
      `${enter} ip link set eth0 down && ${enter} ip addr flush dev eth0 && ` +
        `${enter} ip link set eth0 name ${link} && ${enter} ip link set ${link} netns 1`,
    );
    await this.#call('NetworkDriver.DeleteEndpoint', ids);
    await this.#call('IpamDriver.ReleaseAddress', { PoolID: network.poolId, Address: ip });
    await this.#machine.sh(`umount ${sandboxKey}; rm ${sandboxKey}`);
  }

  /** `docker restart`: everything is released and asked for anew, under another endpoint id. */
  async restart(container: ContainerOf29): Promise<ContainerOf29> {
    await this.remove(container);
    return this.run(container.network, container.name);
  }

  async #call(method: string, body: unknown): Promise<Readonly<Record<string, unknown>>> {
    const reply = await this.#socket.call(method, body);
    if (reply.Err !== undefined) throw new Refused(reply.Err);
    expect(reply.status, method).to.equal(200);
    return reply.body as Readonly<Record<string, unknown>>;
  }
}

function textOf(reply: Readonly<Record<string, unknown>>, key: string): string {
  const value = reply[key];
  if (typeof value !== 'string' || value === '') throw new Error(`no ${key} in ${JSON.stringify(reply)}`);
  return value;
}

function bare(address: string): string {
  return address.split('/')[0] ?? '';
}
