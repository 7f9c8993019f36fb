/**
 * MACs of this host's endpoints, as all hosts know them: an endpoint whose MAC does not follow from its address is said to
 * be so at its lease, also after etcd has lost that, or the pool has got another MAC prefix. And the audit: two leases of a
 * segment with one MAC.
 */

import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { type Cidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import { macOf } from '../../core/mac.ts';
import type { EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import type { Leases } from '../lease/leases.ts';
import { sharedMacs } from '../mac/mac-audit.ts';
import type { PlannedPoolInfo, PlannedPools } from '../pool/planned-pools.ts';
import { addressesOf } from './holders.ts';

export interface OwnMacsDependencies {
  readonly endpoints: { list(): readonly EndpointRecord[] };
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly planned: Pick<PlannedPools, 'of'>;
  readonly leases: Pick<Leases, 'get' | 'setMac'>;
  readonly kv: Pick<KvPort, 'range'>;
  readonly layout: Layout;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Addresses of one segment that have one MAC. */
export interface MacClash {
  readonly parent: string;
  readonly mac: string;
  readonly addresses: readonly string[];
}

const TIME_MS = 30_000;

export class OwnMacs {
  readonly #deps: OwnMacsDependencies;
  #clashes: readonly MacClash[] = [];
  #running: Promise<void> | undefined;

  constructor(deps: OwnMacsDependencies) {
    this.#deps = deps;
  }

  /** Of the last sweep. */
  get clashes(): readonly MacClash[] {
    return this.#clashes;
  }

  /** Says what is not said yet, then audits. Idempotent; runs do not overlap. Never throws: the next one does the rest. */
  sweep(): Promise<void> {
    this.#running ??= this.#sweep(deadlineAfter(TIME_MS, this.#deps.clock))
      .catch((err: unknown) => {
        this.#deps.logger.warn('the MACs of this host could not be looked at to the end', { err });
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  async #sweep(deadline: Deadline): Promise<void> {
    const { endpoints, networks, planned, leases } = this.#deps;
    for (const endpoint of endpoints.list()) {
      const network = networks.get(endpoint.networkId);
      const pools = network === undefined ? undefined : planned.of(network)?.pools;
      // The MAC follows from the IPv4 address, if there is one.
      const [first] = addressesOf(endpoint);
      if (first === undefined || pools === undefined) continue;
      const pool = pools.find(({ subnet }) => isSame(subnet, first.subnet));
      const held = leases.get(first.subnet, first.address);
      if (pool === undefined || held === undefined) continue;
      const follows = macOf(pool.macPrefix, first.address) === endpoint.macAddress;
      const mac = follows ? undefined : endpoint.macAddress;
      // It may have ended while another was written, and its address be another one's.
      const { endpointId, macAddress } = endpoint;
      const stands = endpoints
        .list()
        .some((one) => one.endpointId === endpointId && one.macAddress === macAddress);
      if (!stands) continue;
      if ((held.value.endpointId ?? endpoint.endpointId) !== endpoint.endpointId) continue;
      await leases.setMac(first.subnet, first.address, mac, deadline);
    }
    await this.#audit();
  }

  async #audit(): Promise<void> {
    const { networks, planned, logger } = this.#deps;
    const segments = new Map<string, Map<string, PlannedPoolInfo>>();
    for (const network of networks.list()) {
      const pools = segments.get(network.parent) ?? new Map<string, PlannedPoolInfo>();
      segments.set(network.parent, pools);
      for (const pool of planned.of(network)?.pools ?? [])
        pools.set(`${pool.subnet.base}/${pool.subnet.prefixLength}`, pool);
    }
    const found: MacClash[] = [];
    for (const [parent, pools] of segments) {
      // With ipvlan all containers of a host have one MAC, as they should.
      if (networks.list().some((network) => network.parent === parent && network.mode === 'ipvlan')) continue;
      for (const { mac, addresses, ifLeased } of sharedMacs([...pools.values()])) {
        const leased: string[] = [];
        for (const { subnet, address } of ifLeased)
          if (await this.#isInUse(subnet, address)) leased.push(formatIp(address));
        const all = [...addresses, ...leased].sort();
        if (all.length > 1) found.push({ parent, mac, addresses: all });
      }
    }
    for (const clash of found) {
      const known = this.#clashes.some((one) => JSON.stringify(one) === JSON.stringify(clash));
      if (!known)
        logger.error('two addresses of one segment have the same MAC', {
          ...clash,
          addresses: clash.addresses.join(' '),
        });
    }
    this.#clashes = found;
  }

  async #isInUse(subnet: Cidr, address: IpAddress): Promise<boolean> {
    const { kv, layout } = this.#deps;
    const [lease] = (await kv.range({ key: layout.lease(subnet, address) })).kvs;
    // Not decoded: a quote inside a JSON text is escaped, so this is the field.
    return lease !== undefined && !lease.value.includes('"state":"reserved"');
  }
}

function isSame(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.base === b.base && a.prefixLength === b.prefixLength;
}
