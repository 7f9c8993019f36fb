/**
 * A bandwidth limit as everybody above means it: what one container may receive (`in`) or send (`out`) in a second. Shapes
 * only; core/rate.ts reads and writes the texts.
 */

/** Seen from the container: `in` is what it receives (net_in), `out` what it sends (net_out). */
export type Direction = 'in' | 'out';
export const DIRECTIONS: readonly Direction[] = ['in', 'out'];

export interface RateLimit {
  /** Of whole frames without preamble and checksum, as tc counts; 8e3 to 100e9. */
  readonly rateBitsPerSecond: number;
  /** What may pass at once after a pause; absent: by the rate (throttle/token-bucket.ts). */
  readonly burstBytes?: number;
  /** The rate within a burst; absent: that of the link. */
  readonly peakBitsPerSecond?: number;
  /** What the container has for sure while others want the parent, too; only where the host enforces (`-o enforce=host`). */
  readonly minBitsPerSecond?: number;
}

/** A direction that is absent has no limit. */
export interface Limits {
  readonly in?: RateLimit;
  readonly out?: RateLimit;
}

/** Where a limit was said, strongest first; `cap` is the configured one for a container that is not known yet. */
export const LIMIT_SOURCES = ['override', 'endpoint', 'env', 'label', 'network', 'pool', 'cap'] as const;
export type LimitSource = (typeof LIMIT_SOURCES)[number];
