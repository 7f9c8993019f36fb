import { expect } from 'chai';
import { entriesOf, type NeighbourRun, runsAfter, sampleOf } from '../../../net/neighbour-plan.ts';

function run(first: number, last: number): NeighbourRun {
  return { family: 4, upper: '', first, last, macHead: 0x024c, macXor: 0 };
}

function addresses(runs: readonly NeighbourRun[]): number[] {
  return runs.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
}

describe('net/neighbour-plan', () => {
  const runs = [run(1, 10), run(20, 20), run(30, 44)];

  it('counts addresses', () => {
    expect(entriesOf(runs)).to.equal(26);
    expect(entriesOf([])).to.equal(0);
  });

  it('leaves out the first addresses', () => {
    for (let count = 0; count <= 27; count++) {
      expect(addresses(runsAfter(runs, count))).to.deep.equal(addresses(runs).slice(count));
    }
    expect(runsAfter([run(0xffff_fffd, 0xffff_ffff)], 2)).to.deep.equal([run(0xffff_ffff, 0xffff_ffff)]);
  });

  it('samples from all over the runs, with the first and the last address', () => {
    expect(addresses(sampleOf(runs, 2))).to.deep.equal([1, 44]);
    expect(addresses(sampleOf(runs, 6))).to.deep.equal([1, 6, 20, 34, 39, 44]);
    expect(addresses(sampleOf(runs, 100))).to.deep.equal(addresses(runs));
    expect(addresses(sampleOf(runs, 1))).to.deep.equal([1]);
    expect(sampleOf([], 8)).to.deep.equal([]);
  });
});
