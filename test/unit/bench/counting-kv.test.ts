import { expect } from 'chai';
import { countsBetween, countsOf } from '../../../bench/counting-kv.ts';
import type { Transaction } from '../../../store/kv.ts';

describe('bench/counting-kv', () => {
  const take: Transaction = { compare: [{ test: 'absent', key: 'a' }], success: [] };
  const release: Transaction = { compare: [{ test: 'modRevision', key: 'a', equals: 3 }], success: [] };
  const batch = (...steps: readonly Transaction[]): Transaction => ({
    compare: [],
    success: steps.map((txn) => ({ do: 'txn', txn })),
  });
  const answer = (...steps: readonly boolean[]) => ({
    revision: 7,
    succeeded: true,
    results: steps.map(
      (succeeded) => ({ did: 'txn', result: { revision: 7, succeeded, results: [] } }) as const,
    ),
  });

  it('counts a transaction that takes by the share of its steps that take', () => {
    expect(countsOf(batch(take), answer(true))).to.include({ transactions: 1, taking: 1, refused: 0 });
    expect(countsOf(batch(take, release, release, take), answer(true, true, true, true)).taking).to.equal(
      0.5,
    );
    expect(countsOf(batch(release), answer(true)).taking).to.equal(0);
    expect(countsOf({ compare: [], success: [] }, answer()).taking).to.equal(0);
  });

  it('counts takes that were refused, and no other steps', () => {
    expect(countsOf(batch(take, take, release), answer(false, true, false)).refused).to.equal(1);
  });

  it('counts a transaction whose fence was broken, and nothing as refused in it', () => {
    const broken = { revision: 7, succeeded: false, results: [] };
    expect(countsOf(batch(take), broken)).to.include({ transactions: 1, taking: 1, refused: 0 });
  });

  it('counts what came between', () => {
    const before = { transactions: 1, taking: 2, refused: 3, ranges: 4 };
    const after = { transactions: 11, taking: 22, refused: 33, ranges: 44 };
    expect(countsBetween(before, after)).to.deep.equal({
      transactions: 10,
      taking: 20,
      refused: 30,
      ranges: 40,
    });
  });
});
