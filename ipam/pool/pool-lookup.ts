/**
 * Which pool a person means, looked up in etcd: by its subnet, by its name, or by an address in it. Not for the way
 * of a container.
 */
import { Conflict, NotFound } from '../../core/errors.ts';
import { type Cidr, cidrHas, formatCidr, formatIp, type IpAddress, parseCidr } from '../../core/ip.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, type PoolValue, poolSchema } from '../../store/schema.ts';

export interface KnownPool {
  readonly kv: KeyValue;
  readonly subnet: Cidr;
  readonly value: PoolValue;
}

/** @throws StoreUnavailable; InternalError that names the key of a damaged pool */
export async function readPools(kv: KvPort, layout: Layout): Promise<KnownPool[]> {
  const { kvs } = await kv.range({ prefix: layout.pools });
  return kvs.map((item) => {
    const value = decode(poolSchema, item.key, item.value);
    return { kv: item, subnet: parseCidr(value.subnet), value };
  });
}

/**
 * @param pool subnet or name; for one address it may be absent if a single pool has the address
 * @throws NotFound, Conflict if several pools have the address
 */
export function poolOf(pools: readonly KnownPool[], pool: string | undefined, address: IpAddress): KnownPool {
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
  return first;
}

/** @param text subnet or name @throws NotFound; InvalidRequest for a text that looks like a subnet and is none */
export function poolNamed(pools: readonly KnownPool[], text: string): KnownPool {
  const named = pools.find(({ value }) => value.name === text);
  if (named !== undefined) return named;
  const subnet = text.includes('/') ? formatCidr(parseCidr(text)) : undefined;
  const found = pools.find((pool) => formatCidr(pool.subnet) === subnet);
  if (found !== undefined) return found;
  throw new NotFound(`there is no pool "${clip(text)}": see lanius pool ls`);
}

function clip(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
}
