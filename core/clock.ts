/** Time as a dependency, so that decisions can be tested without waiting. */
export interface Clock {
  /** Monotonic milliseconds of this process; never compared with another machine's. */
  now(): number;
  /** Wall clock, milliseconds since the epoch; for people only, no decision depends on it. */
  wall(): number;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
};
