import { expect } from 'chai';
import fc from 'fast-check';
import { planDifference } from '../../../links/plan-difference.ts';
import type { NeighbourPlan, NeighbourRun } from '../../../net/neighbour-plan.ts';

const run = (first: number, last: number, macXor = 0): NeighbourRun => ({
  family: 4,
  upper: '',
  first,
  last,
  macHead: 0x024c,
  macXor,
});

describe('links/plan-difference', () => {
  it('finds the one address whose MAC has changed', () => {
    const before = { runs: [run(10, 20)] };
    const after = { runs: [run(10, 13), run(14, 14, 7), run(15, 20)] };
    expect(planDifference(before, after)).to.deep.equal({
      changed: { runs: [run(14, 14, 7)] },
      removed: false,
    });
    expect(planDifference(after, before)).to.deep.equal({ changed: { runs: [run(14, 14)] }, removed: false });
  });

  it('tells of addresses that are planned no more', () => {
    expect(planDifference({ runs: [run(10, 20)] }, { runs: [run(10, 14), run(16, 20)] })).to.deep.equal({
      changed: { runs: [] },
      removed: true,
    });
  });

  it('is right for any two plans', () => {
    const plan = fc
      .array(fc.constantFrom(-1, 0, 7), { minLength: 1, maxLength: 24 })
      .map(
        (macs): NeighbourPlan => ({ runs: macs.flatMap((xor, at) => (xor < 0 ? [] : [run(at, at, xor)])) }),
      );
    fc.assert(
      fc.property(plan, plan, (before, after) => {
        const { changed, removed } = planDifference(joined(before), joined(after));
        const [was, is] = [asMap(before), asMap(after)];
        const expected = [...is].filter(([at, xor]) => was.get(at) !== xor);
        expect([...asMap(changed)]).to.deep.equal(expected);
        expect(removed).to.equal([...was.keys()].some((at) => !is.has(at)));
      }),
    );
  });
});

function asMap({ runs }: NeighbourPlan): Map<number, number> {
  const all = new Map<number, number>();
  for (const one of runs) for (let at = one.first; at <= one.last; at += 1) all.set(at, one.macXor);
  return all;
}

/** Runs that touch and agree as one, so that borders differ. */
function joined({ runs }: NeighbourPlan): NeighbourPlan {
  const result: NeighbourRun[] = [];
  for (const one of runs) {
    const last = result.at(-1);
    if (last !== undefined && last.last + 1 === one.first && last.macXor === one.macXor)
      result[result.length - 1] = { ...last, last: one.last };
    else result.push(one);
  }
  return { runs: result };
}
