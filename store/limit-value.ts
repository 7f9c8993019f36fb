/**
 * Limits that people set in etcd: JSON with the texts that they would write anywhere else (core/limit-text.ts), read and
 * written here and nowhere else. Pure.
 *
 *   {"v":1,"rate":"100mbit"}                   that much
 *   {"v":1,"rate":"1gbit","burst":"512kb"}     with a burst of its own; "peak" and "min" likewise
 *   {"v":1,"rate":"none"}                      no limit, whatever others say
 */
import { oneLine, toDriverError } from '../core/errors.ts';
import type { RateLimit } from '../core/limit.ts';
import { LIMIT_PARTS, type LimitPart, type LimitTexts, parseLimit } from '../core/limit-text.ts';
import { formatRate } from '../core/rate.ts';
import { decode, type LimitValue, limitSchema } from './schema.ts';

/** A value of etcd, understood. */
export interface ReadLimit {
  /** Absent: no limit. */
  readonly limit?: RateLimit;
  /** It cannot be read, and why, one line. */
  readonly problem?: string;
}

const ownName = (part: LimitPart): string => part;

/** Never throws: a value that somebody else wrote is told, not obeyed. @param key for the text of the problem */
export function readLimit(key: string, text: string): ReadLimit {
  try {
    const value = decode(limitSchema, key, text);
    const said = LIMIT_PARTS.flatMap((part) => (value[part] === undefined ? [] : [[part, value[part]]]));
    const texts: LimitTexts = Object.fromEntries(said);
    const limit = parseLimit(texts, ownName);
    return limit === undefined ? {} : { limit };
  } catch (error) {
    return { problem: oneLine(toDriverError(error).message) };
  }
}

/**
 * What goes into etcd.
 * @param name how a part is called where it was written, for the error
 * @throws InvalidRequest that says what is wrong with which text
 */
export function limitValue(texts: LimitTexts, name: (part: LimitPart) => string = ownName): string {
  const limit = parseLimit(texts, name);
  const others = LIMIT_PARTS.flatMap((part) => {
    const text = texts[part]?.trim() ?? '';
    return part === 'rate' || text === '' ? [] : [[part, text]];
  });
  const value: LimitValue = {
    v: 1,
    rate: formatRate(limit?.rateBitsPerSecond),
    ...(Object.fromEntries(others) as LimitTexts),
  };
  return JSON.stringify(value);
}
