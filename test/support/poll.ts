/** Waiting for something that comes by itself: asks again until it is so, with a time limit. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface PollOptions {
  /** 10,000 if absent. */
  readonly timeoutMs?: number;
  /** Pause between two questions; 50 if absent. */
  readonly intervalMs?: number;
}

/**
 * Resolves to the first answer of `ask` that is neither undefined nor false; an error of `ask` counts as "not yet".
 * Rejects when the time is over, naming `what` and the last error.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  options: PollOptions = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const end = performance.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = `; last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() >= end) throw new Error(`waited ${timeoutMs} ms for: ${what}${last}`);
    await sleep(options.intervalMs ?? 50);
  }
}
