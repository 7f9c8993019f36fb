/**
 * The network driver where the world fails: a kernel that refuses or hangs, a store that is down, a disk that is
 * full. The failing parts are played, because they cannot be provoked; the rest is test/integration/plugin.test.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { deadlineAfter } from '../../../core/deadline.ts';
import { type DriverError, KernelError, StoreUnavailable } from '../../../core/errors.ts';
import { linkAliasOf } from '../../../core/ids.ts';
import type { AddressService } from '../../../ipam/address-service.ts';
import { DEFAULT_MAC_PREFIX } from '../../../ipam/mac.ts';
import type { LinkInfo, MacvlanSpec, NetPort } from '../../../net/port.ts';
import { NetworkDriver } from '../../../plugin/network-driver.ts';
import type { Call, Records } from '../../../plugin/ports.ts';
import { createEndpointRequest, createNetworkRequest, joinRequest } from '../../../plugin/wire/network.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';
import { type LogLine, recordingLogger } from '../../support/plugin-client.ts';

const NID = 'ab'.repeat(32);
const EID = 'cd'.repeat(32);
const IDS = { NetworkID: NID, EndpointID: EID };
const diskFull = (): Promise<never> =>
  Promise.reject(new KernelError('the disk is full: free some', { errno: 28, errnoName: 'ENOSPC' }));

/** In memory; `refuse` plays a full disk for writes, `slowMs` a slow one. */
class MemoryRecords<T> implements Records<T> {
  readonly kept = new Map<string, T>();
  refuse = false;
  slowMs = 0;
  get(id: string): T | undefined {
    return this.kept.get(id);
  }
  list(): readonly T[] {
    return [...this.kept.values()];
  }
  async put(id: string, record: T): Promise<void> {
    if (this.refuse) return await diskFull();
    this.kept.set(id, record);
    if (this.slowMs > 0) await sleep(this.slowMs);
  }
  async delete(id: string): Promise<boolean> {
    return this.kept.delete(id);
  }
}

/** A kernel with one NIC; each operation can be replaced. */
class PlayedNet implements NetPort {
  readonly links = new Map<string, LinkInfo>([['eth0', linkOf('eth0')]]);
  add: (spec: MacvlanSpec) => Promise<LinkInfo> = async (spec) => this.made(spec);
  made(spec: MacvlanSpec): LinkInfo {
    const link = { ...linkOf(spec.name), kind: 'macvlan', alias: spec.alias };
    this.links.set(spec.name, link);
    return link;
  }
  macvlanAdd(spec: MacvlanSpec): Promise<LinkInfo> {
    return this.add(spec);
  }
  remove: (name: string) => Promise<boolean> = async (name) => this.links.delete(name);
  linkDelete(name: string): Promise<boolean> {
    return this.remove(name);
  }
  async linkGet(name: string): Promise<LinkInfo | undefined> {
    return this.links.get(name);
  }
  async linkList(): Promise<LinkInfo[]> {
    return [...this.links.values()];
  }
  async linkListIn(): Promise<LinkInfo[]> {
    return [];
  }
  probe(): Promise<never> {
    return Promise.reject(new Error('not played'));
  }
  async close(): Promise<void> {}
}

function linkOf(name: string): LinkInfo {
  return { name, linkIndex: 2, mtuBytes: 1500, up: true, carrier: true };
}

function bench() {
  const lines: LogLine[] = [];
  const logger = recordingLogger(lines);
  const net = new PlayedNet();
  const networks = new MemoryRecords<NetworkRecord>();
  const endpoints = new MemoryRecords<EndpointRecord>();
  const told: string[] = [];
  const store = { attach: async (): Promise<void> => {}, confirm: async (): Promise<void> => {} };
  const unused = (): Promise<never> => Promise.reject(new Error('not played'));
  const addresses: AddressService = {
    requestPool: unused,
    releasePool: unused,
    requestAddress: unused,
    releaseAddress: unused,
    attachNetwork: () => store.attach(),
    confirmLease: () => store.confirm(),
    noteHolder: () => {},
  };
  const holders = {
    joined: ({ endpointId }: EndpointRecord): void => void told.push(`joined ${endpointId}`),
    left: (endpointId: string): void => void told.push(`left ${endpointId}`),
  };
  const driver = new NetworkDriver(
    { driverName: 'lanius', defaultParent: 'eth0', macPrefix: DEFAULT_MAC_PREFIX, instance: 'i1' },
    { addresses, net, networks, endpoints, holders, clock: systemClock, logger },
  );
  const call = (timeoutMs = 5000): Call => ({ deadline: deadlineAfter(timeoutMs, systemClock), logger });
  const createNetwork = (timeoutMs?: number) =>
    driver.createNetwork(
      createNetworkRequest.parse({
        NetworkID: NID,
        Options: {},
        IPv4Data: [{ AddressSpace: 'lanius', Pool: '10.0.0.0/16', Gateway: '10.0.0.1/16' }],
        IPv6Data: [{ AddressSpace: 'lanius', Pool: 'fd00::/64', Gateway: 'fd00::1/64' }],
      }),
      call(timeoutMs),
    );
  const createEndpoint = (timeoutMs?: number, AddressIPv6 = '', Address = '10.0.0.7/16') =>
    driver.createEndpoint(
      createEndpointRequest.parse({
        ...IDS,
        Interface: { Address, AddressIPv6, MacAddress: '' },
        Options: {},
      }),
      call(timeoutMs),
    );
  const join = (timeoutMs?: number) =>
    driver.join(
      joinRequest.parse({ ...IDS, SandboxKey: '/var/run/docker/netns/x', Options: {} }),
      call(timeoutMs),
    );
  return { lines, net, networks, endpoints, told, store, driver, call, createNetwork, createEndpoint, join };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'none',
    (error: DriverError) => error.code,
  );
}

describe('plugin/network-driver', () => {
  it('keeps no record of a network whose pools could not be tied, or which the disk refused', async () => {
    const { networks, store, createNetwork } = bench();
    store.attach = () => Promise.reject(new StoreUnavailable('etcd is away'));
    expect(await codeOf(createNetwork())).to.equal('store');
    store.attach = async () => {};
    networks.refuse = true;
    expect(await codeOf(createNetwork())).to.equal('kernel');
    expect(networks.list()).to.deep.equal([]);
  });

  it('takes the record of a network back that came after the answer', async () => {
    const { networks, createNetwork } = bench();
    networks.slowMs = 40;
    expect(await codeOf(createNetwork(20))).to.equal('deadline');
    expect(networks.list()).to.deep.equal([]);
  });

  it('keeps no record of an endpoint whose lease could not be confirmed, or which the disk refused', async () => {
    const { endpoints, store, createNetwork, createEndpoint } = bench();
    await createNetwork();
    store.confirm = () => Promise.reject(new StoreUnavailable('etcd is away'));
    expect(await codeOf(createEndpoint())).to.equal('store');
    store.confirm = async () => {};
    endpoints.refuse = true;
    expect(await codeOf(createEndpoint())).to.equal('kernel');
    expect(endpoints.list()).to.deep.equal([]);
  });

  it('takes the record of an endpoint back that came after the answer', async () => {
    const { endpoints, createNetwork, createEndpoint } = bench();
    await createNetwork();
    endpoints.slowMs = 40;
    expect(await codeOf(createEndpoint(20))).to.equal('deadline');
    expect(endpoints.list()).to.deep.equal([]);
  });

  it('says what the kernel refused, and tells nobody that the endpoint joined', async () => {
    const { net, told, createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    await createEndpoint();
    net.add = () => Promise.reject(new KernelError('no', { errno: 16, errnoName: 'EBUSY' }));
    expect(await codeOf(join())).to.equal('kernel');
    expect(told).to.deep.equal([]);
  });

  it('deletes a link that the kernel makes after the answer', async () => {
    const { net, told, createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    await createEndpoint();
    net.add = async (spec) => {
      await sleep(40);
      return net.made(spec);
    };
    expect(await codeOf(join(20))).to.equal('deadline');
    await sleep(60);
    expect([...net.links.keys()]).to.deep.equal(['eth0']);
    expect(told).to.deep.equal([]);
  });

  it('takes the link back if the endpoint was deleted meanwhile', async () => {
    const { driver, call, net, createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    await createEndpoint();
    net.add = async (spec) => {
      await driver.deleteEndpoint(IDS, call());
      return net.made(spec);
    };
    expect(await codeOf(join())).to.equal('not_found');
    expect([...net.links.keys()]).to.deep.equal(['eth0']);
  });

  it('joins although the sandbox cannot be recorded, and says so', async () => {
    const { endpoints, lines, told, createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    await createEndpoint();
    endpoints.refuse = true;
    expect(await join()).to.have.property('Gateway', '10.0.0.1');
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).to.include(
      'warn: the sandbox of an endpoint could not be recorded',
    );
    expect(told).to.deep.equal([`joined ${EID}`]);
  });

  it('forgets an endpoint whose link cannot be deleted, and says so', async () => {
    const { driver, call, endpoints, net, lines, createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    await createEndpoint();
    await join();
    net.remove = () => Promise.reject(new KernelError('no', { errno: 16, errnoName: 'EBUSY' }));
    expect(await driver.deleteEndpoint(IDS, call())).to.deep.equal({});
    expect(endpoints.list()).to.deep.equal([]);
    await sleep(1);
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).to.include(
      'error: the link of an endpoint that ended could not be deleted; reconciliation tries again',
    );
  });

  it('ends within the limit where the kernel hangs, and lets endpoints go all the same', async () => {
    const { driver, call, net, createNetwork } = bench();
    net.linkGet = () => new Promise(() => {});
    expect(await codeOf(createNetwork(20))).to.equal('deadline');
    expect(await driver.deleteEndpoint(IDS, call(20))).to.deep.equal({});
  });

  it('leads both families, and the MAC follows IPv4 where there is one', async () => {
    const { createNetwork, createEndpoint, join, net } = bench();
    await createNetwork();
    expect(await createEndpoint(undefined, 'fd00::7/64')).to.deep.equal({
      Interface: { MacAddress: '02:4c:0a:00:00:07' },
    });
    expect(await join()).to.deep.equal({
      InterfaceName: { SrcName: 'lncdcdcdcdcdcd', DstPrefix: 'eth' },
      Gateway: '10.0.0.1',
      GatewayIPv6: 'fd00::1',
      DisableGatewayService: true,
    });
    expect(net.links.get('lncdcdcdcdcdcd')?.alias).to.equal(linkAliasOf(EID));
  });

  it('leads IPv6 alone', async () => {
    const { createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    const { Interface } = await createEndpoint(undefined, 'fd00::7/64', '');
    expect(Interface?.MacAddress).to.match(/^02:4c:/);
    const joined = await join();
    expect(joined).to.have.property('GatewayIPv6', 'fd00::1');
    expect(joined).to.not.have.property('Gateway');
  });

  it('does not join an endpoint of another network, nor an unknown one', async () => {
    const { endpoints, createNetwork, createEndpoint, join } = bench();
    await createNetwork();
    expect(await codeOf(join())).to.equal('not_found');
    await createEndpoint();
    const record = endpoints.get(EID);
    if (record !== undefined) endpoints.kept.set(EID, { ...record, networkId: 'ef'.repeat(32) });
    expect(await codeOf(join())).to.equal('not_found');
  });

  it('warns at the creation of a network if the parent is down', async () => {
    const { lines, net, createNetwork } = bench();
    net.links.set('eth0', { ...linkOf('eth0'), up: false, carrier: false });
    await createNetwork();
    expect(lines.map(({ level, fields }) => `${level} ${String(fields.reason)}`)).to.deep.equal([
      'warn is down',
    ]);
  });

  it('tells the holders of each end, also of endpoints never joined', async () => {
    const { driver, call, told } = bench();
    driver.leave(IDS);
    await driver.deleteEndpoint(IDS, call());
    expect(told).to.deep.equal([`left ${EID}`, `left ${EID}`]);
  });
});
