/**
 * Limits as people write them: which keys there are, the same wherever a limit can be said (`net_in`, `net_in_burst`, …), and
 * how the texts of one direction become a limit.
 *
 * Must not: know where a text stands (env, label, option, etcd); whoever reads it there says the key in front.
 */
import { InvalidRequest } from './errors.ts';
import { DIRECTIONS, type Direction, type RateLimit } from './limit.ts';
import { formatRate, parseRate } from './rate.ts';
import { formatBurst, parseBurst } from './size.ts';

export const LIMIT_PARTS = ['rate', 'burst', 'peak', 'min'] as const;
export type LimitPart = (typeof LIMIT_PARTS)[number];
/** One direction, as written. An empty rate is `none`; an empty text of another part is as if it were absent. */
export type LimitTexts = Readonly<Partial<Record<LimitPart, string>>>;

type Ending<P extends LimitPart> = P extends 'rate' ? '' : `_${P}`;
/** `net_in`, `net_in_burst`, `net_in_peak`, `net_in_min`, and the same with `net_out`. */
export type LimitKey = `net_${Direction}${Ending<LimitPart>}`;

export function limitKey(direction: Direction, part: LimitPart): LimitKey {
  return part === 'rate' ? `net_${direction}` : `net_${direction}_${part}`;
}

export const LIMIT_KEYS: readonly LimitKey[] = DIRECTIONS.flatMap((direction) =>
  LIMIT_PARTS.map((part) => limitKey(direction, part)),
);

/** A burst that lasts longer at the rate is no burst; and the kernel counts it in time, which ends after 274 s. */
const LONGEST_BURST_SECONDS = 60;
/** No value that means anything is longer. */
const LONGEST_TEXT = 64;

/** Values by key, of one place where limits stand. */
export type KeyedTexts = Readonly<Partial<Record<LimitKey, string>>>;

/** What `texts` say of one direction; empty if nothing. */
export function textsOf(direction: Direction, texts: KeyedTexts): LimitTexts {
  const found: { -readonly [P in LimitPart]?: string } = {};
  for (const part of LIMIT_PARTS) {
    const text = texts[limitKey(direction, part)];
    if (text !== undefined) found[part] = text;
  }
  return found;
}

/**
 * @param name how a part is called where it stands, for the error: `label lanius.net_in_burst`
 * @returns undefined for no limit
 * @throws InvalidRequest with one line of at most 300 characters: a text that is none, or texts that contradict each other
 */
export function parseLimit(texts: LimitTexts, name: (part: LimitPart) => string): RateLimit | undefined {
  const read = <T>(part: LimitPart, parse: (text: string) => T): T | undefined => {
    const text = texts[part]?.trim() ?? '';
    if (text === '') return undefined;
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidRequest(`${name(part)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const rate = read('rate', parseRate);
  const burst = read('burst', parseBurst);
  const peak = read('peak', parseRate);
  const min = read('min', parseRate);
  if (rate === undefined) {
    const said = { rate, burst, peak, min };
    const lonely = LIMIT_PARTS.find((part) => said[part] !== undefined);
    if (lonely === undefined) return undefined;
    throw new InvalidRequest(
      `${name(lonely)}: it means nothing without a limit: give ${name('rate')} too, or leave it out`,
    );
  }
  if (burst !== undefined && burst > (rate / 8) * LONGEST_BURST_SECONDS) {
    throw new InvalidRequest(
      `${name('burst')}: burst ${formatBurst(burst)} is more than ${LONGEST_BURST_SECONDS} s of ${formatRate(rate)}: write a smaller one, or leave it out`,
    );
  }
  if (peak !== undefined && peak <= rate) {
    throw new InvalidRequest(
      `${name('peak')}: peak ${formatRate(peak)} is not above the limit ${formatRate(rate)}: write a larger one, or leave it out`,
    );
  }
  if (min !== undefined && min > rate) {
    throw new InvalidRequest(
      `${name('min')}: ${formatRate(min)} for sure is more than the limit ${formatRate(rate)}: write at most that`,
    );
  }
  return {
    rateBitsPerSecond: rate,
    ...(burst === undefined ? {} : { burstBytes: burst }),
    ...(peak === undefined ? {} : { peakBitsPerSecond: peak }),
    ...(min === undefined ? {} : { minBitsPerSecond: min }),
  };
}

/** For people: `10mbit`, `10mbit, burst 64kb, peak 20mbit, at least 5mbit`, `none`. */
export function formatLimit(limit: RateLimit | undefined): string {
  if (limit === undefined) return 'none';
  const { rateBitsPerSecond, burstBytes, peakBitsPerSecond, minBitsPerSecond } = limit;
  return [
    formatRate(rateBitsPerSecond),
    ...(burstBytes === undefined ? [] : [`burst ${formatBurst(burstBytes)}`]),
    ...(peakBitsPerSecond === undefined ? [] : [`peak ${formatRate(peakBitsPerSecond)}`]),
    ...(minBitsPerSecond === undefined ? [] : [`at least ${formatRate(minBitsPerSecond)}`]),
  ].join(', ');
}

/**
 * The text as it is kept (records, etcd): a longer one keeps its beginning, marked so that it cannot come to mean something.
 */
export function keptText(text: string): string {
  const trimmed = text.trim();
  return trimmed.length > LONGEST_TEXT ? `${trimmed.slice(0, LONGEST_TEXT - 3)}...` : trimmed;
}
