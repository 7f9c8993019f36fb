/**
 * The network driver on parts that are played: records in memory, a kernel with one NIC, an address service that says
 * yes. For what cannot be provoked with the real ones: a kernel that refuses or hangs, a store that is down, a full disk.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { KernelError } from '../../core/errors.ts';
import { DEFAULT_MAC_PREFIX } from '../../core/mac.ts';
import type { AddressService, PoolSettings } from '../../ipam/address-service.ts';
import { Attachments } from '../../links/attachments.ts';
import { MacvlanMode } from '../../links/macvlan-mode.ts';
import { Uplinks } from '../../links/uplinks.ts';
import type { LinkInfo, MacvlanSpec, NetPort } from '../../net/port.ts';
import { NetworkDriver } from '../../plugin/network-driver.ts';
import type { Call, Records } from '../../plugin/ports.ts';
import { createEndpointRequest, createNetworkRequest, joinRequest } from '../../plugin/wire/network.ts';
import type { EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import { type LogLine, recordingLogger } from './plugin-client.ts';

export const NID = 'ab'.repeat(32);
export const EID = 'cd'.repeat(32);
export const IDS = { NetworkID: NID, EndpointID: EID };
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
}

export function linkOf(name: string): LinkInfo {
  return { name, linkIndex: 2, mtuBytes: 1500, up: true, carrier: true };
}

/** A driver, its parts, and the calls of an engine. */
export function playedDriver() {
  const lines: LogLine[] = [];
  const logger = recordingLogger(lines);
  const net = new PlayedNet();
  const networks = new MemoryRecords<NetworkRecord>();
  const endpoints = new MemoryRecords<EndpointRecord>();
  const told: string[] = [];
  const store = {
    attach: async (): Promise<void> => {},
    confirm: async (): Promise<void> => {},
    settings: {} as Partial<PoolSettings>,
  };
  const unused = (): Promise<never> => Promise.reject(new Error('not played'));
  const addresses: AddressService = {
    requestPool: unused,
    releasePool: unused,
    requestAddress: unused,
    releaseAddress: unused,
    attachNetwork: () => store.attach(),
    confirmLease: () => store.confirm(),
    poolSettings: async () => ({ title: 'p', ...store.settings }),
    noteHolder: () => {},
    noteLimits: () => {},
  };
  const holders = {
    joined: ({ endpointId }: EndpointRecord): void => void told.push(`joined ${endpointId}`),
    left: (endpointId: string): void => void told.push(`left ${endpointId}`),
  };
  const driver = new NetworkDriver(
    { driverName: 'lanius', defaultParent: 'eth0', macPrefix: DEFAULT_MAC_PREFIX, instance: 'i1' },
    {
      addresses,
      net,
      networks,
      endpoints,
      holders,
      attachments: new Attachments({ net, modes: { macvlan: new MacvlanMode({ net }) } }),
      uplinks: new Uplinks({ parts: [], networks, logger }),
      sandboxes: { joined: () => {}, program: async () => {}, left: () => {} },
      limits: { joining: () => {}, joined: () => {}, admit: async () => {}, left: () => {} },
      clock: systemClock,
      logger,
    },
  );
  const call = (timeoutMs = 5000): Call => ({ deadline: deadlineAfter(timeoutMs, systemClock), logger });
  const createNetwork = (timeoutMs?: number, options: Record<string, string> = {}) =>
    driver.createNetwork(
      createNetworkRequest.parse({
        NetworkID: NID,
        Options: { 'com.docker.network.generic': options },
        IPv4Data: [{ AddressSpace: 'lanius', Pool: '10.0.0.0/16', Gateway: '10.0.0.1/16' }],
        IPv6Data: [{ AddressSpace: 'lanius', Pool: 'fd00::/64', Gateway: 'fd00::1/64' }],
      }),
      call(timeoutMs),
    );
  const createEndpoint = (
    timeoutMs?: number,
    AddressIPv6 = '',
    Address = '10.0.0.7/16',
    Options: Readonly<Record<string, unknown>> = {},
  ) =>
    driver.createEndpoint(
      createEndpointRequest.parse({
        ...IDS,
        Interface: { Address, AddressIPv6, MacAddress: '' },
        Options,
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
