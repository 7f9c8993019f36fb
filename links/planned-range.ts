/**
 * The planned range of a network: the addresses that its containers have, now or some day, so that their MACs can be
 * known before anybody asks. Pure; must not know who has which address today.
 */
import {
  type Cidr,
  type IpAddress,
  type IpRange,
  rangeIntersection,
  rangeSize,
  usableRange,
} from '../core/ip.ts';

export interface PlannedPool {
  readonly subnet: Cidr;
  /** Where addresses are taken from, as the pool's settings say; none: the whole subnet. */
  readonly ranges: readonly IpRange[];
  /** What is never a container: excludes, auxiliary addresses. */
  readonly excludes: readonly IpRange[];
}

/** The planned addresses of a pool: disjoint ranges in order, none of them the network or broadcast address. */
export function plannedRanges({ subnet, ranges, excludes }: PlannedPool): IpRange[] {
  const usable = usableRange(subnet);
  const within = ranges.length === 0 ? [usable] : ranges.map((range) => rangeIntersection(range, usable));
  return rangesWithout(within, excludes);
}

/** Disjoint ranges in order, with all addresses that are in `ranges` and not in `excluded`. All of one family. */
export function rangesWithout(ranges: readonly IpRange[], excluded: readonly IpRange[]): IpRange[] {
  const holes = inOrder(excluded);
  const left: IpRange[] = [];
  let hole = 0;
  for (const range of joined(ranges)) {
    let { first } = range;
    while ((holes[hole]?.last ?? first) < first) hole++;
    for (let next = hole; first <= range.last; next++) {
      const found = holes[next];
      if (found === undefined || found.first > range.last) {
        left.push({ ...range, first });
        break;
      }
      if (found.first > first) left.push({ ...range, first, last: found.first - 1n });
      if (found.last >= first) first = found.last + 1n;
    }
  }
  return left;
}

export function rangeOfOne({ family, value }: IpAddress): IpRange {
  return { family, first: value, last: value };
}

/** What overlaps or touches becomes one. */
function joined(ranges: readonly IpRange[]): IpRange[] {
  const result: IpRange[] = [];
  for (const range of inOrder(ranges)) {
    const before = result.at(-1);
    if (before === undefined || range.first > before.last + 1n) result.push(range);
    else if (range.last > before.last) result[result.length - 1] = { ...before, last: range.last };
  }
  return result;
}

function inOrder(ranges: readonly IpRange[]): IpRange[] {
  return ranges.filter((range) => rangeSize(range) > 0n).sort((a, b) => (a.first < b.first ? -1 : 1));
}
