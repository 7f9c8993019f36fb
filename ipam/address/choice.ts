/**
 * Where an address may come from, decided from the pool, the host and the container before etcd is asked. Pure data:
 * ipam/pool/pool-policy.ts decides it, ipam/lease/leases.ts takes from it.
 */
import { type IpAddress, type IpRange, rangeHas, rangeSize } from '../../core/ip.ts';

export interface Choice {
  /** Disjoint, of one family, in order of addresses; may be empty. */
  readonly own: readonly IpRange[];
  /** Only when etcd has counted that `own` is exhausted; the same rules. */
  readonly borrow: readonly IpRange[];
}

export function choiceOf(...own: readonly IpRange[]): Choice {
  return { own, borrow: [] };
}

export function sizeOf(ranges: readonly IpRange[]): bigint {
  return ranges.reduce((size, range) => size + rangeSize(range), 0n);
}

export function someHas(ranges: readonly IpRange[], address: IpAddress): boolean {
  return ranges.some((range) => rangeHas(range, address));
}
