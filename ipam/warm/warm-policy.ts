/**
 * How many addresses a host may keep in stock, from a guess of how full the pool is. Pure.
 *
 * A count of etcd costs in proportion to what it counts, and every host asks: so at most 4096 addresses are counted,
 * at a random place. A guess that is wrong costs a stock, or some seconds of a stock that should not be; never an
 * address.
 */
import type { IpRange } from '../../core/ip.ts';
import { rangeSize } from '../../core/ip.ts';
import { sizeOf } from '../address/choice.ts';

const SAMPLE = 4096n;

/** @returns a part of one of the ranges, larger ranges more often; undefined if they are empty */
export function sampleOf(ranges: readonly IpRange[], random: () => number): IpRange | undefined {
  const pick = (below: bigint): bigint => (BigInt(Math.floor(random() * 2 ** 40)) * below) >> 40n;
  let at = pick(sizeOf(ranges));
  for (const range of ranges) {
    const size = rangeSize(range);
    if (at >= size) {
      at -= size;
      continue;
    }
    if (size <= SAMPLE) return range;
    const first = range.first + pick(size - SAMPLE + 1n);
    return { family: range.family, first, last: first + SAMPLE - 1n };
  }
  return undefined;
}

export interface Fullness {
  /** Addresses in the sample. */
  readonly usable: bigint;
  readonly taken: number;
}

/**
 * A tenth of what is free, so that a host leaves most to the others; nothing where 90 % are taken.
 * @param size what is configured
 * @param total addresses of all ranges
 */
export function stockTarget(size: number, total: bigint, { usable, taken }: Fullness): number {
  if (usable <= 0n || BigInt(taken) * 10n >= usable * 9n) return 0;
  const free = (total * (usable - BigInt(taken))) / usable;
  return Math.min(size, Number(free / 10n));
}
