/** Callers that take and give back over and over: how long each taking took, and who held what from when to when. */

import { setTimeout as sleep } from 'node:timers/promises';

/** Takes something; what it gives takes it back. */
export type Take<T> = () => Promise<{ readonly taken: T; readonly giveBack: () => Promise<unknown> }>;

/** From the answer to just before it is given back; milliseconds of a clock that all processes of a machine share. */
export interface Hold<T> {
  readonly taken: T;
  readonly from: number;
  readonly to: number;
}

export interface Churn<T> {
  /** From the first start to the last end. */
  readonly elapsedMs: number;
  /** Of each taking, in milliseconds. */
  readonly takings: readonly number[];
  readonly holds: readonly Hold<T>[];
}

export interface ChurnOptions {
  readonly callers: number;
  /** No caller begins anything after that. */
  readonly ms: number;
  /** Each thing is held for a random time up to this, and noted; absent: given back at once, which is faster. */
  readonly holdMs?: number;
}

/** CLOCK_MONOTONIC, in milliseconds. */
function sharedNow(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** So many callers at once, each over and over; what was begun is ended. */
export async function churn<T>(take: Take<T>, { callers, ms, holdMs }: ChurnOptions): Promise<Churn<T>> {
  const takings: number[] = [];
  const holds: Hold<T>[] = [];
  const startedAt = performance.now();
  const end = startedAt + ms;
  const caller = async (): Promise<void> => {
    do {
      const start = performance.now();
      const { taken, giveBack } = await take();
      takings.push(performance.now() - start);
      if (holdMs !== undefined) {
        const from = sharedNow();
        await sleep(Math.random() * holdMs);
        holds.push({ taken, from, to: sharedNow() });
      }
      await giveBack();
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { elapsedMs: performance.now() - startedAt, takings, holds };
}

/** How many holds of one thing begin before an earlier one of it has ended. */
export function duplicatesIn<T>(holds: readonly Hold<T>[]): number {
  const lastEnd = new Map<T, number>();
  const sorted = [...holds].sort((a, b) => a.from - b.from);
  let duplicates = 0;
  for (const { taken, from, to } of sorted) {
    const end = lastEnd.get(taken);
    if (end !== undefined && from < end) duplicates += 1;
    lastEnd.set(taken, Math.max(end ?? to, to));
  }
  return duplicates;
}
