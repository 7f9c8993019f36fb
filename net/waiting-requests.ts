/**
 * How many requests wait for the kernel worker, in memory that it shares with the main thread: so long work can be one
 * request, without a way back and forth for each part, and still stop where something else has come meanwhile. It then
 * answers how far it got, and the rest is asked for anew, behind what waited.
 */

/** Priorities are 0 and up (net/kernel-worker.ts). */
const PRIORITIES = 3;

export class WaitingRequests {
  readonly memory: SharedArrayBuffer;
  readonly #counts: Int32Array;

  /** @param memory of the other thread's */
  constructor(memory = new SharedArrayBuffer(PRIORITIES * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#counts = new Int32Array(memory);
  }

  add(priority: number): void {
    Atomics.add(this.#counts, priority, 1);
  }

  remove(priority: number): void {
    Atomics.sub(this.#counts, priority, 1);
  }

  /** Whether anything of this priority or a higher one waits. */
  some(priority: number): boolean {
    for (let each = priority; each < PRIORITIES; each++) {
      if (Atomics.load(this.#counts, each) > 0) return true;
    }
    return false;
  }
}
