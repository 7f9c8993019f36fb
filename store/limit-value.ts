/**
 * Limits that people set in etcd: JSON with the texts that they would write anywhere else, read and written here and nowhere
 * else. Pure.
 *
 *   {"v":1,"rate":"100mbit"}                   that much
 *   {"v":1,"rate":"1gbit","burst":"512kb"}     with a burst of its own; "peak" and "min" likewise
 *   {"v":1,"rate":"none"}                      no limit, whatever others say
 */
import { InvalidRequest, oneLine, toDriverError } from '../core/errors.ts';
import type { RateLimit } from '../core/limit.ts';
import { formatRate, parseRate } from '../core/rate.ts';
import { decode, type LimitValue, limitSchema } from './schema.ts';

/** What people say of one direction, as texts. */
export interface LimitTexts {
  /** `100mbit`, `none`. */
  readonly rate: string;
  /** A size: `64kb`, `2mb`, a number of bytes. */
  readonly burst?: string | undefined;
  readonly peak?: string | undefined;
  readonly min?: string | undefined;
}

/** A value of etcd, understood. */
export interface ReadLimit {
  /** Absent: no limit. */
  readonly limit?: RateLimit;
  /** It cannot be read, and why, one line. */
  readonly problem?: string;
}

const BURST_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1048576,
  mb: 1048576,
};
const MOST_BURST_BYTES = 1_073_741_824;

/** Never throws: a value that somebody else wrote is told, not obeyed. @param key for the text of the problem */
export function readLimit(key: string, text: string): ReadLimit {
  try {
    const { rate, burst, peak, min } = decode(limitSchema, key, text);
    const limit = limitOfTexts({ rate, burst, peak, min });
    return limit === undefined ? {} : { limit };
  } catch (error) {
    return { problem: oneLine(toDriverError(error).message) };
  }
}

/**
 * The place where texts become a limit.
 * @returns undefined for no limit
 * @throws InvalidRequest that says what is wrong with which text
 */
export function limitOfTexts({ rate, burst, peak, min }: LimitTexts): RateLimit | undefined {
  const rateBitsPerSecond = parseRate(rate);
  const others = { burst, peak, min };
  if (rateBitsPerSecond === undefined) {
    const [stray] = Object.entries(others).flatMap(([name, text]) => (text === undefined ? [] : [name]));
    if (stray === undefined) return undefined;
    throw new InvalidRequest(`a ${stray} needs a rate, and there is none: leave it out, or give the rate`);
  }
  const peakBitsPerSecond = peak === undefined ? undefined : parseRate(peak);
  const minBitsPerSecond = min === undefined ? undefined : parseRate(min);
  if (peakBitsPerSecond !== undefined && peakBitsPerSecond < rateBitsPerSecond)
    throw new InvalidRequest(
      `peak ${formatRate(peakBitsPerSecond)} is less than the rate: give at least ${formatRate(rateBitsPerSecond)}`,
    );
  if (minBitsPerSecond !== undefined && minBitsPerSecond > rateBitsPerSecond)
    throw new InvalidRequest(
      `min ${formatRate(minBitsPerSecond)} is more than the rate: give at most ${formatRate(rateBitsPerSecond)}`,
    );
  return {
    rateBitsPerSecond,
    ...(burst === undefined ? {} : { burstBytes: parseBurst(burst) }),
    ...(peakBitsPerSecond === undefined ? {} : { peakBitsPerSecond }),
    ...(minBitsPerSecond === undefined ? {} : { minBitsPerSecond }),
  };
}

/** What goes into etcd. @throws InvalidRequest */
export function limitValue(texts: LimitTexts): string {
  const limit = limitOfTexts(texts);
  const { burst, peak, min } = texts;
  const value: LimitValue = {
    v: 1,
    rate: formatRate(limit?.rateBitsPerSecond),
    ...(burst === undefined ? {} : { burst }),
    ...(peak === undefined ? {} : { peak }),
    ...(min === undefined ? {} : { min }),
  };
  return JSON.stringify(value);
}

/** @throws InvalidRequest. Units as tc(8) has them for sizes: `kb` is 1024 bytes */
function parseBurst(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,10})([a-z]*)$/.exec(text.trim().toLowerCase()) ?? [];
  const factor = Object.hasOwn(BURST_UNITS, unit) ? BURST_UNITS[unit] : undefined;
  const bytes = Number(digits) * (factor ?? 0);
  if (digits !== '' && bytes > 0 && bytes <= MOST_BURST_BYTES) return bytes;
  const shown = text.slice(0, 40).replace(/[^\x20-\x7e]/g, '?');
  throw new InvalidRequest(`burst "${shown}" is no size up to 1024mb: write 64kb, 2mb or a number of bytes`);
}
