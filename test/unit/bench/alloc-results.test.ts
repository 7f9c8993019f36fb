import { expect } from 'chai';
import {
  type Cell,
  cellsOf,
  FULLNESS,
  POOLS,
  type Pool,
  takenIn,
  turnsOf,
} from '../../../bench/alloc-cells.ts';
import type { Figures } from '../../../bench/alloc-measure.ts';
import { cellResults, contentionResults } from '../../../bench/alloc-results.ts';

function poolOf(prefixLength: number): Pool {
  const found = POOLS.find((pool) => pool.prefixLength === prefixLength);
  if (found === undefined) throw new Error(`no pool /${prefixLength}`);
  return found;
}

function cellOf(prefixLength: number, full: number, processes: number, callers: number): Cell {
  const found = cellsOf(poolOf(prefixLength), full, false).find(
    (cell) => cell.processes === processes && cell.callers === callers,
  );
  if (found === undefined) throw new Error('no such cell');
  return found;
}

const loads = (prefixLength: number, full: number): string[] =>
  cellsOf(poolOf(prefixLength), full, false).map(({ processes, callers }) => `${processes}x${callers}`);

describe('bench/alloc-cells', () => {
  it('leaves at least one address free, and never more callers than half of what is free', () => {
    for (const pool of POOLS) {
      for (const full of FULLNESS) expect(takenIn(pool, full)).to.be.below(pool.usable);
    }
    expect(loads(16, 0)).to.deep.equal(['1x1', '1x8', '1x64', '4x4', '4x8', '4x64']);
    expect(loads(16, 99.9)).to.deep.equal(['1x1', '1x8', '4x4', '4x8']);
    expect(loads(24, 99.9)).to.deep.equal(['1x1']);
  });

  it('turns the order of every other round, and leaves the slow one out of most', () => {
    const cell = cellOf(20, 50, 1, 64);
    expect(turnsOf(cell, 0)).to.deep.equal(['lease', 'put', 'fenced', 'shrike']);
    expect(turnsOf(cell, 1)).to.deep.equal(['shrike', 'fenced', 'put', 'lease']);
    expect(turnsOf(cell, 2)).to.deep.equal(['lease', 'put', 'fenced']);
  });
});

describe('bench/alloc-results', () => {
  const figures = (p50: number, rate: number): Figures => ({
    samples: 10,
    p50,
    p99: 2 * p50,
    rate,
    transactions: 1,
    retries: 0,
  });
  const limitsOf = (cell: Cell): Record<string, string | null> =>
    Object.fromEntries(
      cellResults(
        cell,
        new Map([...cell.subjects, 'empty' as const].map((subject) => [subject, figures(1, 100)])),
      )
        .filter(({ limit }) => limit !== null)
        .map(({ id, limit }) => [id, limit]),
    );

  it('holds the limits of one caller on a half-full /16', () => {
    expect(limitsOf(cellOf(16, 50, 1, 1))).to.deep.equal({
      'alloc.16.50.1x1.p50': '<= 1.50',
      'alloc.16.50.1x1.transactions': '<= 1.05',
      'alloc.16.50.1x1.p50.fenced': '<= 1.15',
      'alloc.16.50.1x1.p50.warm': '<= 0.20',
    });
  });

  it('holds the limits of 64 callers there, in one process and in four', () => {
    expect(limitsOf(cellOf(16, 50, 1, 64))).to.deep.equal({
      'alloc.16.50.1x64.rate': '>= 3.00',
      'alloc.16.50.1x64.transactions': '<= 0.20',
    });
    expect(limitsOf(cellOf(16, 50, 4, 64))).to.deep.equal({
      'alloc.16.50.4x64.rate': '>= 2.50',
      'alloc.16.50.4x64.transactions': '<= 0.20',
      'alloc.16.50.4x64.retries': '<= 0.30',
    });
  });

  it("holds Shrike's algorithm against a half-full /20, and a full pool against an empty one", () => {
    expect(limitsOf(cellOf(20, 50, 1, 64))).to.include({ 'alloc.20.50.1x64.rate.shrike': '>= 100.00' });
    for (const { prefixLength } of POOLS)
      expect(limitsOf(cellOf(prefixLength, 99.9, 1, 1))).to.include({
        [`alloc.${prefixLength}.99.9.1x1.p50.empty`]: '<= 2.00',
      });
  });

  it('judges by ratios', () => {
    const cell = cellOf(16, 50, 1, 64);
    const ok = (rate: number): boolean | undefined =>
      cellResults(
        cell,
        new Map([
          ['lease', figures(1, rate)],
          ['put', figures(1, 100)],
        ]),
      ).find(({ id }) => id.endsWith('.rate'))?.ok;
    expect([ok(300), ok(299)]).to.deep.equal([true, false]);
  });

  it('lets no duplicate pass', () => {
    const of = (duplicates: number) =>
      contentionResults('/20', { leases: 1000, retries: 0.1, duplicates }).map(({ ok }) => ok);
    expect([of(0), of(1)]).to.deep.equal([
      [true, true],
      [false, true],
    ]);
  });
});
