/**
 * What `bench alloc` measures: the cells of its grid, which of them have limits, and how long each is looked at.
 * Pure.
 */
import type { Subject } from './alloc-worker.ts';

/** Callers together, over so many processes. */
export interface Load {
  readonly processes: number;
  readonly callers: number;
}

export interface Pool {
  readonly prefixLength: number;
  readonly subnet: string;
  /** Stays empty: what a full pool is compared with. */
  readonly emptySubnet: string;
  /** Addresses that can be given out. */
  readonly usable: number;
}

export interface Cell extends Load {
  readonly pool: Pool;
  /** In percent. */
  readonly full: number;
  /** Measured in turns. */
  readonly subjects: readonly Subject[];
  readonly rounds: number;
  readonly sliceMs: number;
}

export const POOLS: readonly Pool[] = [24, 20, 16].map((prefixLength) => ({
  prefixLength,
  subnet: `10.${prefixLength}.0.0/${prefixLength}`,
  emptySubnet: `10.1${prefixLength}.0.0/${prefixLength}`,
  usable: 2 ** (32 - prefixLength) - 2,
}));

/** In percent, rising: the pool is filled up from one to the next. */
export const FULLNESS: readonly number[] = [0, 50, 95, 99.9];

export const LOADS: readonly Load[] = [
  { processes: 1, callers: 1 },
  { processes: 1, callers: 8 },
  { processes: 1, callers: 64 },
  { processes: 4, callers: 4 },
  { processes: 4, callers: 8 },
  { processes: 4, callers: 64 },
];

/** The limits on speed are held here: half full, neither small nor empty. */
export function isHeadline({ pool, full }: Pick<Cell, 'pool' | 'full'>): boolean {
  return pool.prefixLength === 16 && full === 50;
}

/** Half full, so that its list is half as long. */
export function isAgainstShrike({
  pool,
  full,
  processes,
  callers,
}: Pick<Cell, 'pool' | 'full' | 'processes' | 'callers'>): boolean {
  return pool.prefixLength === 20 && full === 50 && processes === 1 && callers === 64;
}

/** Addresses of others in a pool so full; one at least stays free. */
export function takenIn(pool: Pool, full: number): number {
  return Math.min(pool.usable - 1, Math.round((pool.usable * full) / 100));
}

/** The cells of a pool that is so full: callers who would take all that is free are left out. */
export function cellsOf(pool: Pool, full: number, quick: boolean): Cell[] {
  const free = pool.usable - takenIn(pool, full);
  return LOADS.filter(({ callers }) => callers === 1 || callers * 2 <= free).map((load) => {
    const headline = isHeadline({ pool, full }) && load.callers !== 8;
    const cell = { pool, full, ...load };
    return {
      ...cell,
      subjects: subjectsOf(cell),
      rounds: quick ? 2 : headline ? 20 : 5,
      sliceMs: quick ? 50 : headline ? 200 : 120,
    };
  });
}

/** Shrike's algorithm with many callers takes seconds for each of them. */
const SHRIKE_ROUNDS = 2;

/** What is measured in a round, in the order of the round: every other one is the other way round. */
export function turnsOf({ subjects }: Pick<Cell, 'subjects'>, round: number): Subject[] {
  const turns = subjects.filter((subject) => subject !== 'shrike' || round < SHRIKE_ROUNDS);
  return round % 2 === 0 ? turns : turns.reverse();
}

function subjectsOf(cell: Pick<Cell, 'pool' | 'full' | 'processes' | 'callers'>): Subject[] {
  const { processes, callers } = cell;
  const subjects: Subject[] = ['lease', 'put', 'fenced'];
  if (isHeadline(cell) && processes === 1 && callers === 1) subjects.push('warm');
  // Elsewhere with one caller only: it takes long.
  if (isAgainstShrike(cell) || (processes === 1 && callers === 1)) subjects.push('shrike');
  return subjects;
}
