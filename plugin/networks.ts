/**
 * CreateNetwork and DeleteNetwork: what a network means on this host, remembered for ever, because the engine never
 * tells it again (not at its restart, not at ours).
 *
 * Must not: make links itself (links/uplinks.ts does), or ask the Engine API (the network is not listed yet).
 * Source: moby libnetwork/docs/remote.md#create-network; linux drivers/net/macvlan.c macvlan_common_newlink()
 * (MTU at most that of the lower link); RFC 8200 §5 (1280 bytes).
 */
import { isDeepStrictEqual } from 'node:util';
import { type Deadline, within } from '../core/deadline.ts';
import { Conflict, DeadlineExceeded, InvalidRequest, NotFound } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import { shortId } from '../core/ids.ts';
import { cidrHas, formatCidr, formatIp } from '../core/ip.ts';
import type { KeyedTexts } from '../core/limit-text.ts';
import type { NetworkAttachment } from '../ipam/address-service.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import { checkEnforcement, limitTexts } from './limit-options.ts';
import { type NetworkOptions, parseNetworkOptions } from './options.ts';
import { checkParent, type Place, placeOf, vlanOf } from './parent.ts';
import {
  ADDRESS_SPACE,
  type Call,
  type NetworkDriverDependencies,
  type NetworkDriverOptions,
} from './ports.ts';
import { undoing } from './undo.ts';
import { type CreateNetworkRequest, GENERIC_OPTION, INTERNAL_OPTION, type IpamData } from './wire/network.ts';

export class Networks {
  readonly #options: NetworkDriverOptions;
  readonly #deps: NetworkDriverDependencies;

  constructor(options: NetworkDriverOptions, deps: NetworkDriverDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * Makes what the network stands on, ties the pool claims to the network, then remembers it. In this order, because
   * after a failure the engine releases the pools, but sends no DeleteNetwork.
   * @throws InvalidRequest, Unsupported, NotFound (parent), Conflict (same id, other parameters; link name taken)
   */
  async create(request: CreateNetworkRequest, { deadline, logger }: Call): Promise<void> {
    const given = parseNetworkOptions(genericOf(request));
    const limits = limitTexts(given, '-o', given.enforce);
    const attachment = this.#attachmentOf(request);
    const options = await this.#withPools(given, attachment, deadline);
    const place = await placeOf(this.#deps.net, options, this.#options.defaultParent, deadline);
    const record = this.#recordOf(request, options, place, attachment, limits);
    checkEnforcement(record);
    const standing = this.#deps.networks.get(request.NetworkID);
    if (standing !== undefined) {
      if (isDeepStrictEqual({ ...standing, createdAt: 0 }, { ...record, createdAt: 0 })) return;
      throw new Conflict(
        `network ${shortId(request.NetworkID)} is known already with other parameters: remove it (docker network rm) and create it again`,
      );
    }
    const families = attachment.subnets.map(({ subnet }) => subnet.family);
    await checkParent(this.#deps.net, record, families.includes(6), deadline, logger);
    await this.#deps.uplinks.under(record, () => this.#remember(record, attachment, { deadline, logger }));
    failpoint('network.after-record');
  }

  async #remember(
    record: NetworkRecord,
    attachment: NetworkAttachment,
    { deadline, logger }: Call,
  ): Promise<void> {
    const { networks, addresses } = this.#deps;
    failpoint('network.after-uplink');
    inTime(deadline, 'CreateNetwork');
    await addresses.attachNetwork(attachment);
    failpoint('network.before-record');
    await undoing(logger, async (undo) => {
      undo.push('the network record', () => networks.delete(record.networkId));
      await networks.put(record.networkId, record);
      inTime(deadline, 'CreateNetwork');
      undo.commit();
    });
  }

  /** Forgets the network; one that is not known is forgotten already. What it stood on goes behind the reply. */
  async delete(networkId: string, { deadline }: Call): Promise<void> {
    const { networks, uplinks } = this.#deps;
    await within(networks.delete(networkId), deadline, 'deleting the network record');
    failpoint('network.before-uplink-removal');
    void uplinks.left(networkId);
  }

  /** A pool that is in a VLAN says in which, and every network on it must be in that one. */
  async #withPools(
    options: NetworkOptions,
    { subnets }: NetworkAttachment,
    deadline: Deadline,
  ): Promise<NetworkOptions> {
    let { vlan } = options;
    for (const { subnet } of subnets) {
      const pool = await this.#deps.addresses.poolSettings(subnet, deadline);
      if (pool.vlan === undefined) continue;
      if (vlan !== undefined && vlan !== pool.vlan) throw otherVlan(pool.title, pool.vlan, vlan, options);
      vlan = pool.vlan;
    }
    if (vlan === undefined || options.vlan !== undefined) return options;
    const parent = options.parent ?? this.#options.defaultParent;
    if (parent === undefined) return options;
    // The parent that was named may be the VLAN's sub-interface already, whatever it is called.
    const vlanOfParent = await vlanOf(this.#deps.net, parent, deadline);
    if (vlanOfParent === undefined) return { ...options, vlan };
    if (vlanOfParent === vlan) return options;
    throw new Conflict(
      `the pool of the network is in VLAN ${vlan}, but parent ${parent} is VLAN ${vlanOfParent}: give the link below it as -o parent=, or choose another pool`,
    );
  }

  #recordOf(
    request: CreateNetworkRequest,
    options: NetworkOptions,
    { parent, vlan, nic }: Place,
    attachment: NetworkAttachment,
    limits: KeyedTexts,
  ): NetworkRecord {
    return {
      v: 1,
      networkId: request.NetworkID,
      parent,
      mode: options.mode ?? 'macvlan',
      macvlanMode: options.macvlan_mode ?? 'bridge',
      ...(vlan === undefined ? {} : { vlan }),
      ...(nic === undefined ? {} : { nic }),
      ...(options.bridge === undefined ? {} : { bridge: options.bridge }),
      ...(options.adopt_address === true ? { adoptAddress: true } : {}),
      ...(options.host_access === true ? { hostAccess: true } : {}),
      ...(options.arp === undefined ? {} : { arp: options.arp }),
      ...(options.responder === undefined ? {} : { responder: options.responder }),
      ...(options.probe === undefined ? {} : { probe: options.probe }),
      ...(options.mtu === undefined ? {} : { mtuBytes: options.mtu }),
      ...(options.enforce === undefined ? {} : { enforce: options.enforce }),
      ...(Object.keys(limits).length === 0 ? {} : { limits }),
      internal: request.Options[INTERNAL_OPTION] === true,
      subnets: attachment.subnets.map(({ subnet, gateway }) => ({
        subnet: formatCidr(subnet),
        ...(gateway === undefined ? {} : { gateway: formatIp(gateway) }),
      })),
      createdAt: this.#deps.clock.wall(),
    };
  }

  #attachmentOf(request: CreateNetworkRequest): NetworkAttachment {
    const given = [...request.IPv4Data, ...request.IPv6Data];
    const foreign = given.find((data) => data.AddressSpace !== ADDRESS_SPACE);
    const name = this.#options.driverName;
    if (foreign !== undefined || given.length === 0) {
      throw new InvalidRequest(`network driver ${name} needs its own IPAM: add --ipam-driver ${name}`);
    }
    return { networkId: request.NetworkID, subnets: given.map(subnetOfData) };
  }
}

/** Ends a handler whose caller has been answered already, so that its `Undo` takes the work back. */
export function inTime(deadline: Deadline, method: string): void {
  if (deadline.leftMs() <= 0) throw new DeadlineExceeded(`${method} took longer than its limit`);
}

/** @throws NotFound with the remedy */
export function knownNetwork(deps: NetworkDriverDependencies, networkId: string): NetworkRecord {
  const network = deps.networks.get(networkId);
  if (network !== undefined) return network;
  throw new NotFound(
    `network ${shortId(networkId)} is not in the records of this host: remove it (docker network rm) and create it again`,
  );
}

function otherVlan(pool: string, vlan: number, other: number, given: NetworkOptions): Conflict {
  const remedy =
    given.vlan === undefined
      ? 'use pools of one VLAN for a network'
      : 'leave out -o vlan, or choose another pool';
  return new Conflict(`pool ${pool} is in VLAN ${vlan}, not ${other}: ${remedy}`);
}

function genericOf(request: CreateNetworkRequest): Record<string, unknown> {
  const generic = request.Options[GENERIC_OPTION] ?? {};
  if (typeof generic === 'object' && !Array.isArray(generic)) return { ...generic };
  throw new InvalidRequest(`Options["${GENERIC_OPTION}"] is not a map of options`);
}

function subnetOfData(data: IpamData): NetworkAttachment['subnets'][number] {
  const subnet = data.Pool;
  if (subnet === undefined) throw new InvalidRequest('a subnet of the network has no Pool: give it --subnet');
  for (const [name, aux] of Object.entries(data.AuxAddresses)) {
    if (aux === undefined) continue;
    if (!cidrHas(subnet, aux.address)) {
      throw new InvalidRequest(
        `aux address ${name.slice(0, 64)}=${formatIp(aux.address)} is outside of the subnet ${formatCidr(subnet)}`,
      );
    }
  }
  const gateway = data.Gateway?.address;
  if (gateway !== undefined && !cidrHas(subnet, gateway)) {
    throw new InvalidRequest(
      `gateway ${formatIp(gateway)} is outside of the subnet ${formatCidr(subnet)}: give another --gateway`,
    );
  }
  return { subnet, ...(gateway === undefined ? {} : { gateway }) };
}
