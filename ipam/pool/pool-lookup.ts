/**
 * Which pool a person means, looked up in etcd: by its subnet, by its name, or by an address in it. Not for the way
 * of a container.
 */
import { Conflict, InternalError, NotFound } from '../../core/errors.ts';
import {
  type Cidr,
  cidrHas,
  formatCidr,
  formatIp,
  type IpAddress,
  parseCidr,
  parseIp,
} from '../../core/ip.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import { type Layout, subnetOfPoolKey } from '../../store/layout.ts';
import { decode, type PoolValue, poolSchema } from '../../store/schema.ts';
import { openRanges } from './pool-policy.ts';

/** A pool in etcd, whose value may be damaged: that must concern nobody but its own networks. */
export interface SeenPool {
  readonly kv: KeyValue;
  readonly subnet: Cidr;
  /** Undefined: it cannot be read. */
  readonly value: PoolValue | undefined;
}

export interface KnownPool extends SeenPool {
  readonly value: PoolValue;
}

/** All pools, also damaged ones; a key that is no pool's is passed over. @throws StoreUnavailable */
export async function readPools(kv: KvPort, layout: Layout): Promise<SeenPool[]> {
  const { kvs } = await kv.range({ prefix: layout.pools });
  return kvs.flatMap((item) => {
    const subnet = subnetOfKey(item.key, layout);
    if (subnet === undefined) return [];
    return [{ kv: item, subnet, value: attempt(() => poolValue(item, layout)) }];
  });
}

export function isKnown(pool: SeenPool): pool is KnownPool {
  return pool.value !== undefined;
}

/** @throws InternalError if the pool cannot be read */
export function known(pool: SeenPool): KnownPool {
  if (isKnown(pool)) return pool;
  throw unreadable(pool.subnet);
}

/** Undefined for a key that is no pool's. */
export function subnetOfKey(key: string, layout: Layout): Cidr | undefined {
  return attempt(() => subnetOfPoolKey(key.slice(layout.pools.length)));
}

/** The key decides which subnet it is. @throws InternalError if it cannot be read; InvalidRequest if the key is no pool's */
export function poolValue({ key, value }: KeyValue, layout: Layout): PoolValue {
  const subnet = subnetOfPoolKey(key.slice(layout.pools.length));
  try {
    const pool = { ...decode(poolSchema, key, value), subnet: formatCidr(subnet) };
    openRanges(pool, subnet);
    if (pool.gateway !== undefined) parseIp(pool.gateway);
    return pool;
  } catch (cause) {
    throw unreadable(subnet, cause);
  }
}

/**
 * @param pool subnet or name; for one address it may be absent if a single pool has the address
 * @throws NotFound, Conflict if several pools have the address; InternalError if it is damaged
 */
export function poolOf(pools: readonly SeenPool[], pool: string | undefined, address: IpAddress): KnownPool {
  if (pool !== undefined) {
    const found = poolNamed(pools, pool);
    if (cidrHas(found.subnet, address)) return found;
    throw new NotFound(
      `address ${formatIp(address)} is not in pool ${formatCidr(found.subnet)}: choose one inside it`,
    );
  }
  const [first, ...others] = pools.filter(({ subnet }) => cidrHas(subnet, address));
  if (first === undefined) throw new NotFound(`no pool holds ${formatIp(address)}: see lanius pool ls`);
  if (others.length > 0) {
    const names = [first, ...others].map(({ subnet }) => formatCidr(subnet)).join(', ');
    throw new Conflict(`several pools hold ${formatIp(address)} (${names}): name one with --pool`);
  }
  return known(first);
}

/**
 * @param text subnet or name
 * @throws NotFound; InternalError if it is damaged; InvalidRequest for a text that looks like a subnet and is none
 */
export function poolNamed(pools: readonly SeenPool[], text: string): KnownPool {
  const named = pools.find(({ value }) => value?.name === text);
  if (named !== undefined) return known(named);
  const subnet = text.includes('/') ? formatCidr(parseCidr(text)) : undefined;
  const found = pools.find((pool) => formatCidr(pool.subnet) === subnet);
  if (found !== undefined) return known(found);
  const damaged = pools.find((pool) => !isKnown(pool));
  const beside =
    damaged === undefined
      ? ''
      : `, and lanius store check: pool ${formatCidr(damaged.subnet)} cannot be read`;
  throw new NotFound(`there is no pool "${clip(text)}": see lanius pool ls${beside}`);
}

function unreadable(subnet: Cidr, cause?: unknown): InternalError {
  return new InternalError(
    `pool ${formatCidr(subnet)} cannot be read: its value in etcd is damaged: see lanius store check`,
    { cause },
  );
}

function clip(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
