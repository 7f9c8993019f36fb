/**
 * Finds token buckets that are stuck: frames wait, and none has left since an earlier look. That is what a bucket does that
 * somebody changed in place to a burst below a packet which waits already; it never moves again.
 *
 * Remembers only those that had something waiting at the last look. Clock in milliseconds, passed in. Pure but for that.
 */
import type { Shape } from '../shaping-port.ts';

interface Seen {
  readonly handle: number;
  readonly bytes: number;
  readonly atMs: number;
}

export interface WaitingLook {
  readonly handle: number;
  readonly bytes: number;
  readonly backlogBytes: number;
}

const LEAST_MS = 1000;
/** Beyond that something else must have forgotten sandboxes that are gone. */
const MOST = 4096;

export class StuckWatch {
  readonly #seen = new Map<string, Seen>();

  /** @param key of the bucket. @param shape that it should have: one burst must have had the time to pass, twice */
  isStuck(key: string, look: WaitingLook | undefined, shape: Shape, nowMs: number): boolean {
    const before = this.#seen.get(key);
    if (look === undefined || look.backlogBytes === 0) {
      this.#seen.delete(key);
      return false;
    }
    if (before?.handle === look.handle && before.bytes === look.bytes) {
      const passesMs = (16_000 * shape.burstBytes) / shape.rateBitsPerSecond;
      return nowMs - before.atMs >= Math.max(LEAST_MS, passesMs);
    }
    if (this.#seen.size >= MOST) this.#seen.clear();
    this.#seen.set(key, { handle: look.handle, bytes: look.bytes, atMs: nowMs });
    return false;
  }
}
