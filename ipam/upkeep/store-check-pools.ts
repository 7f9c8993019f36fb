/** Pools, who uses them, and the hosts: each must fit the others. Pure. Part of store-check.ts. */
import { type Cidr, cidrHas, cidrsOverlap, formatCidr, type IpAddress, parseIp } from '../../core/ip.ts';
import type { Compare, KeyValue } from '../../store/kv.ts';
import { subnetOfPoolKey } from '../../store/layout.ts';
import type { HostValue, PoolValue } from '../../store/schema.ts';
import type { Finding, Repair, StoreEdit } from './store-finding.ts';
import type { SeenAddress, StoreView } from './store-view.ts';

/** All steps that change the set of pools wait for each other. */
const POOLSET = 'poolset';

/** @param now wall clock, for a pool that is written anew */
export function checkPools(view: StoreView, addresses: readonly SeenAddress[], now: number): Finding[] {
  const pools = [...view.pools];
  const overlaps = pools.flatMap(([id, pool], index) =>
    pools
      .slice(index + 1)
      .filter(([, other]) => cidrsOverlap(pool.subnet, other.subnet))
      .map(
        ([otherId]): Finding => ({
          code: 'pools-overlap',
          object: poolText(id),
          problem: `it overlaps ${poolText(otherId)}, so one address can be given out from both`,
          advice: 'remove the networks of one of the two, then: lanius pool rm',
        }),
      ),
  );
  return [
    ...overlaps,
    ...pools.flatMap(([id]) => checkPool(view, id)),
    ...missingPools(view, addresses, now),
    ...checkUses(view, addresses),
  ];
}

function checkPool(view: StoreView, id: string): Finding[] {
  const pool = view.pools.get(id);
  if (pool === undefined) return [];
  const { kv, value, subnet } = pool;
  const object = poolText(id);
  if (value === undefined) {
    return [
      { code: 'damaged-value', object, problem: `the value of ${kv.key} is no pool`, advice: anew(subnet) },
    ];
  }
  const found: Finding[] = [];
  if (value.subnet !== formatCidr(subnet)) {
    const after: PoolValue = { ...value, subnet: formatCidr(subnet) };
    found.push({
      code: 'pool-key-differs',
      object,
      problem: `its value says subnet ${value.subnet}`,
      repair: poolRepair(view, [{ key: kv.key, before: kv.value, after: JSON.stringify(after) }], [kv]),
    });
  }
  for (const [what, first, last] of placesOf(value)) {
    const [low, high] = [ipOrNone(first), ipOrNone(last)];
    const inside = low !== undefined && high !== undefined && cidrHas(subnet, low) && cidrHas(subnet, high);
    if (inside && low.value <= high.value) continue;
    const text = first === last ? first : `${first}-${last}`;
    const readable = low !== undefined && high !== undefined;
    const advice = readable ? 'correct it: lanius pool set' : anew(subnet);
    found.push({ code: 'bad-range', object, problem: `${what} ${text} is not inside the subnet`, advice });
  }
  return found;
}

function anew(subnet: Cidr): string {
  return (
    `make it anew, with the settings that it had: lanius pool add NAME --subnet ${formatCidr(subnet)} …; its networks ` +
    'and leases stay'
  );
}

function placesOf(value: PoolValue): [what: string, first: string, last: string][] {
  const { gateway, ranges = [], excludes = [] } = value;
  return [
    ...(gateway === undefined ? [] : [['gateway', gateway, gateway] satisfies [string, string, string]]),
    ...ranges.map(({ first, last }): [string, string, string] => ['range', first, last]),
    ...excludes.map(({ first, last }): [string, string, string] => ['exclude', first, last]),
  ];
}

/** Leases stand in a pool that does not exist: it is made again, for a living container may have one of them. */
function missingPools(view: StoreView, addresses: readonly SeenAddress[], now: number): Finding[] {
  const missing = new Map<string, SeenAddress[]>();
  for (const at of addresses) {
    if (at.lease === undefined || view.pools.has(at.pool)) continue;
    missing.set(at.pool, [...(missing.get(at.pool) ?? []), at]);
  }
  return [...missing].map(([id, leases]): Finding => {
    const subnet = subnetOfPoolKey(id);
    const problem = `it does not exist, but ${leases.length} leases stand in it`;
    const found = { code: 'no-pool', object: poolText(id), problem } as const;
    const other = [...view.pools].find(([, pool]) => cidrsOverlap(pool.subnet, subnet));
    if (other !== undefined) {
      const advice = `it overlaps ${poolText(other[0])}: remove the containers of one of the two`;
      return { ...found, advice };
    }
    const values = leases.flatMap((at) => at.lease?.value ?? []);
    const gateway = leases.find((at) => at.lease?.value?.role === 'gateway')?.text;
    const pool: PoolValue = {
      v: 1,
      subnet: formatCidr(subnet),
      ...(gateway === undefined ? {} : { gateway }),
      madeBy: values[0]?.host ?? 'store-check',
      at: now,
    };
    const key = view.layout.pool(subnet);
    const edits = [{ key, after: JSON.stringify(pool) }, bump(view)];
    const repair = poolRepair(view, edits, []);
    return { ...found, repair: { ...repair, seen: [...repair.seen, { test: 'absent', key }] } };
  });
}

function checkUses(view: StoreView, addresses: readonly SeenAddress[]): Finding[] {
  const leased = new Set(addresses.filter(({ lease }) => lease !== undefined).map(({ pool }) => pool));
  const stray = view.uses
    .filter(({ pool }) => !view.pools.has(pool) && !leased.has(pool))
    .map(({ pool, host, kv }): Finding => {
      const repair = poolRepair(view, [{ key: kv.key, before: kv.value }], [kv]);
      const nobody: Compare = { test: 'rangeEmpty', prefix: view.layout.leases(subnetOfPoolKey(pool)) };
      return {
        code: 'use-without-pool',
        object: poolText(pool),
        problem: `host ${host} uses it, but it does not exist`,
        repair: { ...repair, seen: [...repair.seen, nobody] },
      };
    });
  return [...stray, ...checkHosts(view, addresses)];
}

/** Whoever holds or uses anything is registered. */
function checkHosts(view: StoreView, addresses: readonly SeenAddress[]): Finding[] {
  const holding = new Set(addresses.flatMap(({ indexes }) => indexes.map(({ host }) => host)));
  const seen = new Set([
    ...holding,
    ...view.uses.map(({ host }) => host),
    ...addresses.flatMap(({ holds }) => holds.map(({ host }) => host)),
    ...[...view.hosts].flatMap(([host, { value }]) => (value === undefined ? [host] : [])),
  ]);
  return [...seen].flatMap((host): Finding[] => {
    const known = view.hosts.get(host);
    if (known?.value !== undefined) return [];
    const damaged = known !== undefined;
    const found = {
      code: damaged ? 'damaged-value' : 'unregistered-host',
      object: `host ${host}`,
      problem: damaged ? `the value of ${known.kv.key} is no host` : 'it uses pools, but is not registered',
    } as const;
    const session = view.sessions.get(host)?.value;
    const key = view.layout.host(host);
    if (session === undefined) {
      return [
        { ...found, advice: `start its daemon, or, if it is gone for ever: lanius host forget ${host}` },
      ];
    }
    const { machineId, hostname, at: firstSeenAt } = session;
    const value: HostValue = { v: 1, machineId, hostname, version: 'unknown', firstSeenAt };
    const before = damaged ? { before: known.kv.value } : {};
    const edits = [{ key, ...before, after: JSON.stringify(value) }];
    return [{ ...found, repair: { lockKey: key, seen: [view.unchanged(key, known?.kv)], edits } }];
  });
}

/** Every change of the set of pools compares and bumps its counter. */
function poolRepair(view: StoreView, edits: readonly StoreEdit[], seen: readonly KeyValue[]): Repair {
  return {
    lockKey: POOLSET,
    seen: [view.poolsetUnchanged, ...seen.map((kv) => view.unchanged(kv.key, kv))],
    edits,
  };
}

function bump(view: StoreView): StoreEdit {
  const before = view.poolset === undefined ? {} : { before: view.poolset.value };
  return { key: view.layout.poolset, ...before, after: JSON.stringify({ v: 1 }) };
}

function poolText(id: string): string {
  return `pool ${formatCidr(subnetOfPoolKey(id))}`;
}

function ipOrNone(text: string): IpAddress | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined;
  }
}
