/** Single addresses as ranges: what follows one another is one run. Pure. */
import type { IpAddress, IpRange } from '../../core/ip.ts';

/** @param addresses of one family, in order; twice the same is once */
export function runsOf(addresses: readonly IpAddress[]): IpRange[] {
  const runs: { family: IpRange['family']; first: bigint; last: bigint }[] = [];
  for (const { family, value } of addresses) {
    const run = runs.at(-1);
    if (run !== undefined && value <= run.last + 1n) run.last = value > run.last ? value : run.last;
    else runs.push({ family, first: value, last: value });
  }
  return runs;
}

/** What lies between two runs. @param runs disjoint, in order */
export function gapsOf(runs: readonly IpRange[]): IpRange[] {
  return runs.slice(1).map((run, index) => {
    const before = runs[index] ?? run;
    return { family: run.family, first: before.last + 1n, last: run.first - 1n };
  });
}

/**
 * The same addresses in at most `most` ranges, with the smallest gaps between them as holes.
 * @param runs disjoint, in order
 */
export function coverOf(
  runs: readonly IpRange[],
  most: number,
): { readonly ranges: IpRange[]; readonly holes: IpRange[] } {
  const gaps = gapsOf(runs).toSorted((a, b) => Number(a.last - a.first - (b.last - b.first)));
  const holes = new Set(gaps.slice(0, Math.max(0, runs.length - most)).map(({ first }) => first));
  const ranges: IpRange[] = [];
  for (const run of runs) {
    const before = ranges.at(-1);
    if (before !== undefined && holes.has(before.last + 1n))
      ranges.splice(-1, 1, { ...before, last: run.last });
    else ranges.push(run);
  }
  return { ranges, holes: gapsOf(runs).filter(({ first }) => holes.has(first)) };
}

/** Order of addresses of one family. */
export function byValue(a: IpAddress, b: IpAddress): number {
  return a.value < b.value ? -1 : Number(a.value > b.value);
}
