/**
 * Which neighbours a link is to have, as runs: addresses in a row whose MACs follow from them. A /16 is one run of a
 * few numbers, so a plan travels to the kernel worker at no cost, and entries become bytes only there. Pure; must not
 * decide what is planned (links/arp-preload.ts does).
 */
import type { IpFamily } from '../core/ip.ts';

/**
 * Addresses in a row. The MAC of one is `macHead` (2 bytes), then its low 32 bits XOR `macXor` (4 bytes): MAC = f(IP)
 * with a prefix as head, or any fixed MAC if the run is one address.
 */
export interface NeighbourRun {
  readonly family: IpFamily;
  /** The upper 96 bits of an IPv6 address as 24 hex digits; empty for IPv4. */
  readonly upper: string;
  /** Low 32 bits of the first and the last address. */
  readonly first: number;
  readonly last: number;
  /** 0–0xffff */
  readonly macHead: number;
  /** 0–0xffffffff; 0 for IPv4 with MAC = f(IP). */
  readonly macXor: number;
}

/** Disjoint runs, in the order of `compareRuns`. */
export interface NeighbourPlan {
  readonly runs: readonly NeighbourRun[];
}

/** For taking away all that is ours. */
export const EMPTY_PLAN: NeighbourPlan = { runs: [] };

export function compareRuns(a: NeighbourRun, b: NeighbourRun): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.upper !== b.upper) return a.upper < b.upper ? -1 : 1;
  return a.first - b.first;
}

/** Number of addresses. */
export function entriesOf(runs: readonly NeighbourRun[]): number {
  return runs.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

/** All but the first `count` addresses. */
export function runsAfter(runs: readonly NeighbourRun[], count: number): NeighbourRun[] {
  const rest: NeighbourRun[] = [];
  let left = count;
  for (const run of runs) {
    const first = run.first + left;
    if (first <= run.last) rest.push(first === run.first ? run : { ...run, first });
    left = Math.max(0, left - (run.last - run.first + 1));
  }
  return rest;
}

/** About `count` addresses spread over all runs, the first and the last among them, each as a run of its own. */
export function sampleOf(runs: readonly NeighbourRun[], count: number): NeighbourRun[] {
  const entries = entriesOf(runs);
  const picks = Math.min(count, entries);
  const sample: NeighbourRun[] = [];
  let [index, before] = [0, 0];
  for (let pick = 0; pick < picks; pick++) {
    const wanted = picks === 1 ? 0 : Math.floor((pick * (entries - 1)) / (picks - 1));
    for (let run = runs[index]; run !== undefined; run = runs[++index]) {
      const size = run.last - run.first + 1;
      if (wanted < before + size) {
        const address = run.first + wanted - before;
        sample.push({ ...run, first: address, last: address });
        break;
      }
      before += size;
    }
  }
  return sample;
}
