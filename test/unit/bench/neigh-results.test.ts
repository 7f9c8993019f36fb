import { expect } from 'chai';
import { type NeighFigures, resultsOf } from '../../../bench/neigh-results.ts';
import { Samples } from '../../../bench/statistics.ts';

function figures(lanius: number, loop: number): NeighFigures {
  const samples = new Samples();
  for (const size of [1000, 65_000]) {
    for (const each of [lanius - 1, lanius, lanius + 9]) samples.add(`lanius.load.${size}`, each);
    samples.add(`floor.load.${size}`, 50);
    samples.add(`batch.load.${size}`, 500);
  }
  samples.add('lanius.loop.65000', 3);
  samples.add('lanius.loop.65000', loop);
  samples.add('lanius.sample.65000', 0.3);
  samples.add('lanius.all.65000', 40);
  return { samples, sizes: [1000, 65_000], rounds: 3, processes: 20, millisecondsPerProcess: 2 };
}

const missed = (given: NeighFigures): string[] =>
  resultsOf(given)
    .filter(({ ok }) => !ok)
    .map(({ id }) => id);

describe('bench/neigh-results', () => {
  it('judges the largest table only, by medians, and the event loop by its longest delay', () => {
    expect(missed(figures(75, 20))).to.deep.equal([]);
    expect(missed(figures(76, 20))).to.deep.equal(['neigh.65000.floor']);
    expect(missed(figures(101, 21))).to.deep.equal(['neigh.65000.floor', 'neigh.65000.batch', 'neigh.loop']);
  });

  it('extrapolates processes, and says so', () => {
    const found = resultsOf(figures(60, 5)).find(({ id }) => id === 'neigh.65000.processes');
    expect(found).to.include({ value: 130_000, ratio: 2167, limit: null });
    expect(found?.what).to.contain('extrapolated from 20');
  });
});
