/** Measures one cell of `bench alloc`: its subjects in turns, so that whatever else the machine does meets all. */

import { type Cell, turnsOf } from './alloc-cells.ts';
import type { AllocFleet, TeamOutcome } from './alloc-fleet.ts';
import type { Subject } from './alloc-worker.ts';
import type { Counts } from './counting-kv.ts';
import { median, percentile } from './statistics.ts';

export interface Figures {
  readonly samples: number;
  /** Of taking one, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Taken and given back again, a second; median of the rounds. */
  readonly rate: number;
  /** Transactions for taking, of each that was taken: of a transaction that does more, its share. */
  readonly transactions: number;
  /** Tries that found their address taken, of each that was taken. */
  readonly retries: number;
}

/** `empty` is the same as `lease`, on a pool of the same size that is empty. */
export type Measured = ReadonlyMap<Subject | 'empty', Figures>;

/** Before anything is measured: connections, compiled code, guesses. */
const WARM_UP_ROUNDS = 2;

export async function measureCell(fleet: AllocFleet, cell: Cell): Promise<Measured> {
  const found = new Map<Subject | 'empty', TeamOutcome[]>();
  const run = async (name: Subject | 'empty', round: number): Promise<void> => {
    const outcome = await fleet.do(cell.processes, {
      subject: name === 'empty' ? 'lease' : name,
      subnet: name === 'empty' ? cell.pool.emptySubnet : cell.pool.subnet,
      callers: cell.callers,
      ms: cell.sliceMs,
    });
    if (round >= WARM_UP_ROUNDS) found.set(name, [...(found.get(name) ?? []), outcome]);
  };
  for (let round = 0; round < cell.rounds + WARM_UP_ROUNDS; round += 1) {
    for (const subject of turnsOf(cell, round - WARM_UP_ROUNDS)) {
      await run(subject, round);
      if (subject === 'lease' && cell.full > 0) await run('empty', round);
    }
  }
  return new Map([...found].map(([name, outcomes]) => [name, figuresOf(outcomes)]));
}

export function figuresOf(outcomes: readonly TeamOutcome[]): Figures {
  const takings = outcomes.flatMap((outcome) => outcome.takings);
  const counts = outcomes.flatMap((outcome) => outcome.outcomes.map((one) => one.counts));
  const each = (of: (counts: Counts) => number): number =>
    counts.reduce((sum, one) => sum + of(one), 0) / takings.length;
  return {
    samples: takings.length,
    p50: median(takings),
    p99: percentile(takings, 99),
    rate: median(outcomes.map(({ rate }) => rate)),
    transactions: each(({ taking }) => taking),
    retries: each(({ refused }) => refused),
  };
}
