/** Work with an etcd that may be away: for a moment on a container's way, for long at a start. */
import { type Deadline, within } from '../../core/deadline.ts';
import { DeadlineExceeded, StoreUnavailable, toDriverError } from '../../core/errors.ts';

/** Between two tries to reach an etcd that is away. */
const AWAY_PAUSE_MS = 200;

const NO_ANSWER =
  'etcd does not answer in time: check that etcd runs and is reachable (lanius doctor); nothing was changed';

/**
 * Reads again while etcd is away and the caller has time; reading twice does no harm.
 * @throws StoreUnavailable when the time is up
 */
export async function patiently<T>(read: () => Promise<T>, deadline: Deadline): Promise<T> {
  let trouble: StoreUnavailable | undefined;
  for (;;) {
    try {
      return await within(read(), deadline, 'the answer of etcd');
    } catch (error) {
      if (error instanceof DeadlineExceeded) throw trouble ?? new StoreUnavailable(NO_ANSWER);
      if (!(error instanceof StoreUnavailable)) throw error;
      trouble = error;
      // What fails at once never reaches the limit of `within`.
      if (deadline.leftMs() === 0) throw trouble;
      // A timer may fire a little early: one millisecond more, so that the last pause ends after the deadline.
      await new Promise((resolve) => setTimeout(resolve, Math.min(AWAY_PAUSE_MS, deadline.leftMs() + 1)));
    }
  }
}

/** Again and again while etcd is away, for ever. @throws what does not pass by itself */
export async function untilDone(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!toDriverError(error).retryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, AWAY_PAUSE_MS));
    }
  }
}
