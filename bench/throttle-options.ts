/** What the benchmark of limits is run with. No code. */

export interface ThrottleOptions {
  readonly megabits: readonly number[];
  readonly streams: readonly number[];
  readonly families: readonly (4 | 6)[];
  /** Of each cell, of which the median counts. */
  readonly repeats: number;
  /** Before what passes is counted, and while. */
  readonly warmUpMs: number;
  readonly windowMs: number;
  readonly referenceMegabits: readonly number[];
  readonly referenceRounds: number;
  /** Containers whose set-up is timed. */
  readonly setups: number;
  readonly containers: readonly number[];
  readonly packetRounds: number;
  readonly packetSeconds: number;
  readonly edits: number;
}
