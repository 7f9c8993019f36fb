/**
 * A pool with all its counts, read from etcd for people: of each range how much is taken, and what still drains, that is
 * leases where nothing new is given out any more.
 *
 * Values are read only outside of the ranges, page by page; inside etcd counts.
 */
import {
  type Cidr,
  cidrRange,
  type IpRange,
  parseCidr,
  rangeIntersection,
  rangeSize,
  usableRange,
} from '../../core/ip.ts';
import type { KvPort } from '../../store/kv.ts';
import { type Layout, poolKeyOf } from '../../store/layout.ts';
import type { PoolValue } from '../../store/schema.ts';
import { formatRange, rangeOf, without } from '../address/ranges.ts';
import { openRanges } from './pool-policy.ts';
import { formatPoolRange } from './pool-words.ts';

export interface RangeReport {
  /** As an operator writes it, with its users. */
  readonly range: string;
  /** Addresses that can be given out: without excludes, gateway, network and broadcast address. */
  readonly size: number;
  readonly taken: number;
  readonly free: number;
}

export interface PoolReport {
  readonly pool: PoolValue;
  /** The whole subnet, if the pool has no ranges. */
  readonly ranges: readonly RangeReport[];
  readonly excludes: readonly string[];
  /** Held by hosts. */
  readonly leased: number;
  /** Held by no host: gateway, aux addresses, reservations, addresses kept for a name. */
  readonly reserved: number;
  /** Leases outside of the present ranges: they stay until their containers end. */
  readonly draining: number;
  /** Hosts with networks on the pool. */
  readonly hosts: readonly string[];
  readonly leasedBy: readonly { readonly host: string; readonly leases: number }[];
  /** Released addresses that still rest. */
  readonly cooling: number;
}

export interface PoolReportSources {
  readonly kv: KvPort;
  readonly layout: Layout;
}

const PAGE = 1000;

export async function reportOf(pool: PoolValue, sources: PoolReportSources): Promise<PoolReport> {
  const { kv, layout } = sources;
  const subnet = parseCidr(pool.subnet);
  const open = openRanges(pool, subnet);
  const ranges = await Promise.all(
    (pool.ranges ?? [undefined]).map(async (range): Promise<RangeReport> => {
      const whole = range === undefined ? usableRange(subnet) : rangeOf(range);
      const parts = open.map((part) => rangeIntersection(part, whole)).filter((part) => rangeSize(part) > 0n);
      const size = Number(parts.reduce((sum, part) => sum + rangeSize(part), 0n));
      const taken = await takenIn(parts, subnet, sources);
      const text = range === undefined ? formatRange(whole) : formatPoolRange(range);
      return { range: text, size, taken, free: Math.max(0, size - taken) };
    }),
  );
  const hosts = await kv.range({ prefix: layout.hosts }, { keysOnly: true });
  const leasedBy = await Promise.all(
    hosts.kvs.map(async ({ key }) => {
      const host = key.slice(layout.hosts.length);
      const prefix = `${layout.byHost(host)}${poolKeyOf(subnet)}/`;
      return { host, leases: (await kv.range({ prefix }, { countOnly: true })).count };
    }),
  );
  const leased = leasedBy.reduce((sum, { leases }) => sum + leases, 0);
  const [all, cooling, uses] = await Promise.all([
    kv.range({ prefix: layout.leases(subnet) }, { countOnly: true }),
    kv.range({ prefix: layout.coolings(subnet) }, { countOnly: true }),
    kv.range({ prefix: layout.uses(subnet) }, { keysOnly: true }),
  ]);
  return {
    pool,
    ranges,
    excludes: (pool.excludes ?? []).map((exclude) => formatRange(rangeOf(exclude))),
    leased,
    reserved: Math.max(0, all.count - leased),
    draining: await drainingOf(sources, subnet, open),
    hosts: uses.kvs.map(({ key }) => key.slice(layout.uses(subnet).length)),
    leasedBy: leasedBy.filter(({ leases }) => leases > 0).sort((one, other) => other.leases - one.leases),
    cooling: cooling.count,
  };
}

async function drainingOf(
  { kv, layout }: PoolReportSources,
  subnet: Cidr,
  open: readonly IpRange[],
): Promise<number> {
  let draining = 0;
  for (const part of without([cidrRange(subnet)], open)) {
    const { from, to } = keysOf(layout, subnet, part);
    for (let next = from; ; ) {
      const { kvs } = await kv.range({ from: next, to }, { limit: PAGE });
      // Not decoded: a quote inside a JSON text is escaped, so this is the field; and a damaged value hides nothing.
      draining += kvs.filter(({ value }) => !value.includes('"state":"reserved"')).length;
      const last = kvs.at(-1);
      if (last === undefined || kvs.length < PAGE) break;
      next = `${last.key}\0`;
    }
  }
  return draining;
}

/** How many addresses of these ranges have a lease or a reservation, as etcd counts. */
export async function takenIn(
  ranges: readonly IpRange[],
  subnet: Cidr,
  sources: PoolReportSources,
): Promise<number> {
  const counts = await Promise.all(ranges.map((range) => countOf(sources, subnet, range)));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function countOf({ kv, layout }: PoolReportSources, subnet: Cidr, range: IpRange): Promise<number> {
  return (await kv.range(keysOf(layout, subnet, range), { countOnly: true })).count;
}

/** The lease keys of a range of addresses. */
function keysOf(
  layout: Layout,
  subnet: Cidr,
  { family, first, last }: IpRange,
): { from: string; to: string } {
  const from = layout.lease(subnet, { family, value: first });
  return { from, to: `${layout.lease(subnet, { family, value: last })}\0` };
}
