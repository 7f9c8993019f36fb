/** A time limit that is handed down from a handler to everything it calls. */
import type { Clock } from './clock.ts';
import { DeadlineExceeded } from './errors.ts';

export interface Deadline {
  /** Milliseconds left, never negative. */
  leftMs(): number;
}

export function deadlineAfter(timeoutMs: number, clock: Clock): Deadline {
  const at = clock.now() + timeoutMs;
  return { leftMs: () => Math.max(0, at - clock.now()) };
}

/**
 * Waits for `work`, but no longer than the deadline. The work itself is not stopped: what it does late must be
 * found by reconciliation.
 * @param what for the message: "CreateEndpoint", "the answer of etcd"
 * @throws DeadlineExceeded when the time is up first
 */
export async function within<T>(work: Promise<T>, deadline: Deadline, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeoutMs = deadline.leftMs();
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineExceeded(`${what} took longer than its limit`)), timeoutMs);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}
