import { expect } from 'chai';
import { churn, duplicatesIn } from '../../../bench/callers.ts';

describe('bench/callers', () => {
  const holds = (...all: readonly [taken: string, from: number, to: number][]) =>
    all.map(([taken, from, to]) => ({ taken, from, to }));

  it('finds that two held one thing at once, in whatever order they are listed', () => {
    expect(duplicatesIn(holds(['a', 5, 9], ['b', 0, 20], ['a', 0, 6]))).to.equal(1);
    expect(duplicatesIn(holds(['a', 0, 10], ['a', 1, 2], ['a', 3, 4]))).to.equal(2);
  });

  it('finds nothing where one begins when the other has ended', () => {
    expect(duplicatesIn(holds(['a', 5, 9], ['a', 0, 5], ['b', 0, 9]))).to.equal(0);
    expect(duplicatesIn([])).to.equal(0);
  });

  it('takes and gives back with each caller in turn, and holds what it is told to hold', async () => {
    let held = 0;
    let most = 0;
    let taken = 0;
    const take = async () => {
      held += 1;
      taken += 1;
      most = Math.max(most, held);
      const giveBack = async (): Promise<void> => {
        held -= 1;
      };
      return { taken: String(taken), giveBack };
    };
    const measured = await churn(take, { callers: 3, ms: 30, holdMs: 4 });
    expect({ held, most }).to.deep.equal({ held: 0, most: 3 });
    expect(measured.takings).to.have.length(taken);
    expect(measured.holds).to.have.length(taken);
    expect(measured.holds.every(({ from, to }) => to >= from)).to.equal(true);
    expect(duplicatesIn(measured.holds)).to.equal(0);
    const unheld = await churn(take, { callers: 1, ms: 1 });
    expect(unheld.holds).to.deep.equal([]);
  });
});
