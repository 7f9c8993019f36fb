/** What has changed from one plan of neighbours to the next, so that a change of one address costs one entry. Pure. */
import { compareRuns, type NeighbourPlan, type NeighbourRun } from '../net/neighbour-plan.ts';

export interface PlanDifference {
  /** Planned now, and not before or with another MAC; in order. */
  readonly changed: NeighbourPlan;
  /** Addresses were planned that are not any more. */
  readonly removed: boolean;
}

export function planDifference(before: NeighbourPlan, after: NeighbourPlan): PlanDifference {
  const removed = subtract(before.runs, after.runs, () => true).length > 0;
  return { changed: { runs: subtract(after.runs, before.runs, sameMacs) }, removed };
}

/** The parts of `runs` that no run of `others` covers of which `counts` holds. Both sorted and disjoint. */
function subtract(
  runs: readonly NeighbourRun[],
  others: readonly NeighbourRun[],
  counts: (run: NeighbourRun, other: NeighbourRun) => boolean,
): NeighbourRun[] {
  const left: NeighbourRun[] = [];
  let begin = 0;
  for (const run of runs) {
    let { first } = run;
    while (endsBefore(others[begin], run)) begin += 1;
    for (let next = begin; next < others.length; next += 1) {
      const other = others[next];
      if (other === undefined || !sameSpace(run, other) || other.first > run.last) break;
      if (other.last < first || !counts(run, other)) continue;
      if (other.first > first) left.push({ ...run, first, last: other.first - 1 });
      first = other.last + 1;
    }
    if (first <= run.last) left.push({ ...run, first });
  }
  return left;
}

function endsBefore(other: NeighbourRun | undefined, run: NeighbourRun): boolean {
  return other !== undefined && compareRuns({ ...other, first: other.last }, run) < 0;
}

function sameSpace(a: NeighbourRun, b: NeighbourRun): boolean {
  return a.family === b.family && a.upper === b.upper;
}

function sameMacs(a: NeighbourRun, b: NeighbourRun): boolean {
  return a.macHead === b.macHead && a.macXor === b.macXor;
}
