/**
 * Several disjoint ranges as one row of numbered addresses, so that a search can go round them without listing them:
 * a range may have 2^64 addresses.
 */
import type { IpFamily, IpRange } from '../../core/ip.ts';
import { rangeSize } from '../../core/ip.ts';

interface Part {
  readonly range: IpRange;
  /** Number of its first address. */
  readonly start: bigint;
  readonly size: bigint;
}

export class RangeSpace {
  readonly family: IpFamily;
  readonly size: bigint;
  readonly #parts: readonly Part[];

  /** @param ranges disjoint, of one family; may be empty */
  constructor(ranges: readonly IpRange[]) {
    const parts: Part[] = [];
    let start = 0n;
    for (const range of ranges) {
      const size = rangeSize(range);
      if (size > 0n) parts.push({ range, start, size });
      start += size;
    }
    this.#parts = parts;
    this.size = start;
    this.family = ranges[0]?.family ?? 4;
  }

  /** Number of an address, or undefined if it is in none of the ranges. */
  indexOf(value: bigint): bigint | undefined {
    const part = this.#parts.find(({ range }) => range.first <= value && value <= range.last);
    return part === undefined ? undefined : part.start + value - part.range.first;
  }

  /** The addresses with the numbers in [from, to), as pieces of the ranges. */
  pieces(from: bigint, to: bigint): IpRange[] {
    return this.#parts.flatMap(({ range, start, size }) => {
      const [first, last] = [from > start ? from : start, (to < start + size ? to : start + size) - 1n];
      if (last < first) return [];
      return [{ ...range, first: range.first + first - start, last: range.first + last - start }];
    });
  }
}

/** Fewer ranges with everything that is in `ranges`, and gaps of at most `gap` addresses. @param ranges in order */
export function spansOf(ranges: readonly IpRange[], gap: bigint): IpRange[] {
  const spans: IpRange[] = [];
  for (const range of ranges) {
    const before = spans.at(-1);
    if (before !== undefined && range.first >= before.first && range.first - before.last <= gap + 1n)
      spans[spans.length - 1] = { ...before, last: range.last };
    else spans.push(range);
  }
  return spans;
}
