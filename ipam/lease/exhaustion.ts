/**
 * Whether a choice of addresses is used up, as etcd itself counts at that moment, and how to say it. Addresses that
 * cool are free; reserved and warm ones are taken.
 */
import { PoolExhausted } from '../../core/errors.ts';
import {
  type Cidr,
  formatCidr,
  formatIp,
  type IpRange,
  rangeIntersection,
  usableRange,
} from '../../core/ip.ts';
import { type Choice, sizeOf } from '../address/choice.ts';
import type { LeaseReads } from './lease-reads.ts';

export interface ExhaustionCounts {
  /** Addresses of the choice, and how many of them have a lease. */
  readonly usable: bigint;
  readonly taken: number;
  /** Free addresses of the pool that are not in the choice. */
  readonly elsewhere: bigint;
}

/** @throws StoreUnavailable */
export async function isFull(reads: LeaseReads, subnet: Cidr, ranges: readonly IpRange[]): Promise<boolean> {
  return BigInt(await reads.count(subnet, ranges)) >= sizeOf(ranges);
}

/** @throws PoolExhausted if etcd counts no free address in the choice; StoreUnavailable */
export async function refuseIfFull(reads: LeaseReads, subnet: Cidr, choice: Choice): Promise<void> {
  const ranges = [...choice.own, ...choice.borrow];
  const usable = sizeOf(ranges);
  const taken = await reads.count(subnet, ranges);
  if (BigInt(taken) < usable) return;
  const whole = usableRange(subnet);
  const inside = ranges.map((range) => rangeIntersection(range, whole));
  const rest = sizeOf([whole]) - sizeOf(inside);
  const elsewhere =
    rest > 0n
      ? rest - BigInt(await reads.count(subnet, [whole])) + BigInt(await reads.count(subnet, inside))
      : 0n;
  throw exhausted(subnet, ranges, { usable, taken, elsewhere });
}

export function exhausted(
  subnet: Cidr,
  ranges: readonly IpRange[],
  { usable, taken, elsewhere }: ExhaustionCounts,
): PoolExhausted {
  const pool = formatCidr(subnet);
  const details = { pool, usable: Number(usable), taken, free: 0, elsewhere: Number(elsewhere) };
  const others =
    elsewhere > 0n ? `; ${elsewhere} more are free in parts of the pool that are excluded or for others` : '';
  const remedy =
    elsewhere > 0n ? 'remove containers or change the ranges' : 'remove containers or use a larger pool';
  const text =
    usable === 0n
      ? `pool ${pool} has no address for this host to give out automatically${others}: use --ip, or change the ranges`
      : `pool ${pool} is exhausted: 0 of ${usable} addresses ${placeOf(ranges)} are free, ${taken} are taken${others}: ${remedy}`;
  return new PoolExhausted(text, { details });
}

function placeOf(ranges: readonly IpRange[]): string {
  const [range] = ranges;
  if (range === undefined || ranges.length > 1) return `in ${ranges.length} ranges`;
  const { family } = range;
  return `from ${formatIp({ family, value: range.first })} to ${formatIp({ family, value: range.last })}`;
}
