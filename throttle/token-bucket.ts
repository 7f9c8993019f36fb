/**
 * From a limit to the token bucket that enforces it. Pure.
 *
 * The burst is what passes in 2 ms at the rate, so that a late timer loses nothing, and at least ten frames, so that small
 * rates do not break up packets more than they must. The queue holds 25 ms beyond that: more is only delay.
 *
 * | rate     | burst     | queue of 25 ms, at least 4 frames |
 * |----------|-----------|-----------------------------------|
 * | ≤ 60 M   | 15,140 B  | 6,056 B at 1 M, 187,500 B at 60 M |
 * | 100 M    | 25,000 B  | 312,500 B                         |
 * | 1 G      | 250,000 B | 3.1 MB                            |
 *
 * A peak has a bucket of its own, by the same rule for its own rate and never larger than the burst: what is in the first
 * bucket then leaves no faster than the peak.
 *
 * @see tc-tbf(8); docs/limits.md
 */
import { DIRECTIONS, type Direction, type RateLimit } from '../core/limit.ts';
import type { Shape, ShapePlan } from '../net/shaping-port.ts';
import type { Wish } from './wish.ts';

const ETHERNET_HEADER_BYTES = 14;
const BURST_SECONDS = 0.002;
const BURST_FRAMES = 10;
const QUEUE_SECONDS = 0.025;
const QUEUE_FRAMES = 4;
/** The kernel's fields have 32 bits. */
const MOST_BYTES = 0xffff_ffff;

/**
 * @param mtuBytes of the container's link
 * @returns whole numbers. A burst below two frames is raised to that: a bucket that one frame does not fit into passes
 *   nothing at all. A peak at or below the rate says nothing, and is left out
 */
export function shapeOf(limit: RateLimit, mtuBytes: number): Shape {
  const { rateBitsPerSecond, peakBitsPerSecond } = limit;
  const frameBytes = mtuBytes + ETHERNET_HEADER_BYTES;
  const burstBytes = capped(
    Math.max(limit.burstBytes ?? burstOf(rateBitsPerSecond, frameBytes), 2 * frameBytes),
  );
  const queueBytes = Math.max((rateBitsPerSecond / 8) * QUEUE_SECONDS, QUEUE_FRAMES * frameBytes);
  const shape = { rateBitsPerSecond, burstBytes, limitBytes: capped(burstBytes + queueBytes) };
  if (peakBitsPerSecond === undefined || peakBitsPerSecond <= rateBitsPerSecond) return shape;
  const peakBurstBytes = Math.min(capped(burstOf(peakBitsPerSecond, frameBytes)), burstBytes);
  return { ...shape, peakBitsPerSecond, peakBurstBytes };
}

/** @param mtuBytes of the container's link */
export function planOf(wish: Wish, mtuBytes: number): ShapePlan {
  const plan: Partial<Record<Direction, Shape>> = {};
  for (const direction of DIRECTIONS) {
    const { limit } = wish[direction];
    if (limit !== undefined) plan[direction] = shapeOf(limit, mtuBytes);
  }
  return plan;
}

function burstOf(rateBitsPerSecond: number, frameBytes: number): number {
  return Math.max(BURST_FRAMES * frameBytes, (rateBitsPerSecond / 8) * BURST_SECONDS);
}

function capped(bytes: number): number {
  return Math.min(Math.ceil(bytes), MOST_BYTES);
}
