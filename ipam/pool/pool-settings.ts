/**
 * What an operator wishes of a pool, put onto what the pool is: the new value, checked as a whole. Pure.
 *
 * Overlap rules of one pool, held here: its ranges lie inside of the subnet and never overlap each other; names of ranges
 * are different. Between pools they are ipam/pool/pool-admin.ts'.
 */
import { formatSeconds, parseSeconds } from '../../core/duration.ts';
import { InvalidRequest } from '../../core/errors.ts';
import { type Cidr, formatCidr, formatIp, parseCidr, parseIp, rangeHas, usableRange } from '../../core/ip.ts';
import { parseLimit } from '../../core/limit-text.ts';
import { parseMacPrefix } from '../../core/mac.ts';
import { formatRate } from '../../core/rate.ts';
import { type PoolRangeValue, type PoolValue, poolSchema } from '../../store/schema.ts';
import { rangeOf, rangesOverlap } from '../address/ranges.ts';
import { nameOf } from './pool-policy.ts';
import { formatPoolRange, means, parsePoolRange, parseRangeOf, parseSelect, quoted } from './pool-words.ts';

/** As operators write it. Absent: as it is. An empty text or list removes what is set. */
export interface PoolWishes {
  readonly gateway?: string;
  /** Instead of those there are. */
  readonly ranges?: readonly string[];
  readonly addRanges?: readonly string[];
  /** By name, or by their addresses. */
  readonly removeRanges?: readonly string[];
  readonly excludes?: readonly string[];
  readonly addExcludes?: readonly string[];
  readonly removeExcludes?: readonly string[];
  readonly vlan?: string;
  readonly select?: string;
  readonly borrow?: boolean;
  readonly quota?: string;
  readonly cooling?: string;
  readonly sticky?: boolean;
  readonly keep?: string;
  readonly macPrefix?: string;
  /** `net_in=10mbit`; `net_in=` removes that one, an empty list all. */
  readonly defaults?: readonly string[];
}

const MOST_RANGES = 64;
const MOST_EXCLUDES = 256;
const ARP_MODES = ['preload', 'responder', 'auto', 'off'];
const DEFAULTS = { net_in: 'netIn', net_out: 'netOut', arp: 'arp' } as const;

/** @throws InvalidRequest */
export function withWishes(pool: PoolValue, wishes: PoolWishes): PoolValue {
  const subnet = parseCidr(pool.subnet);
  const numberOr = (text: string, parse: (given: string) => number) =>
    text === '' ? undefined : parse(text);
  const changed: { -readonly [K in keyof PoolValue]?: PoolValue[K] | undefined } = { ...pool };
  const set = <T>(given: T | undefined, use: (value: T) => void): void => {
    if (given !== undefined) use(given);
  };
  set(wishes.gateway, (text) => {
    changed.gateway = text === '' ? undefined : formatIp(parseIp(text));
  });
  changed.ranges = rangesOf(pool, subnet, wishes);
  changed.excludes = excludesOf(pool, subnet, wishes);
  set(wishes.vlan, (text) => {
    changed.vlan = numberOr(text, (given) => wholeNumber('vlan', given, 1, 4094));
  });
  set(wishes.select, (text) => {
    changed.select = text === '' ? undefined : parseSelect(text);
  });
  set(wishes.borrow, (yes) => {
    changed.borrow = yes ? true : undefined;
  });
  set(wishes.quota, (text) => {
    changed.quotaPerHost = numberOr(text, (given) => wholeNumber('quota', given, 1, 10_000_000));
  });
  set(wishes.cooling, (text) => {
    changed.coolingSeconds = numberOr(text, (given) => seconds('cooling', given, 0, 604_800));
  });
  set(wishes.sticky, (yes) => {
    changed.sticky = yes ? true : undefined;
  });
  set(wishes.keep, (text) => {
    changed.keepSeconds = numberOr(text, (given) => seconds('keep', given, 60, 31_536_000));
  });
  set(wishes.macPrefix, (text) => {
    if (text !== '') parseMacPrefix(text);
    changed.macPrefix = text === '' ? undefined : text.toLowerCase();
  });
  changed.defaults = defaultsOf(pool, wishes.defaults);
  // Through JSON, so that what is undefined is absent, as it will be in etcd.
  const value = poolSchema.parse(JSON.parse(JSON.stringify(changed)));
  check(value, subnet);
  return value;
}

function rangesOf(pool: PoolValue, subnet: Cidr, wishes: PoolWishes): PoolRangeValue[] | undefined {
  const kept = wishes.ranges?.map((text) => parsePoolRange(subnet, text)) ?? pool.ranges ?? [];
  const left = removed('range', pool, kept, wishes.removeRanges ?? []);
  const all = [...left, ...(wishes.addRanges ?? []).map((text) => parsePoolRange(subnet, text))];
  return all.length === 0 ? undefined : all;
}

function excludesOf(pool: PoolValue, subnet: Cidr, wishes: PoolWishes): PoolValue['excludes'] {
  const parse = (text: string) => parseRangeOf(subnet, 'exclude', text);
  const kept = wishes.excludes?.map(parse) ?? pool.excludes ?? [];
  const left = removed('exclude', pool, kept, wishes.removeExcludes ?? []);
  const added = (wishes.addExcludes ?? [])
    .map(parse)
    .filter((one) => !left.some((there) => same(there, one)));
  const all = [...left, ...added];
  return all.length === 0 ? undefined : all;
}

function removed<T extends { first: string; last: string; name?: string | undefined }>(
  what: string,
  pool: PoolValue,
  there: readonly T[],
  texts: readonly string[],
): T[] {
  for (const text of texts) {
    if (!there.some((one) => means(text, one)))
      throw new InvalidRequest(
        `pool ${nameOf(pool)} has no ${what} ${quoted(text)}: see lanius pool show ${nameOf(pool)}`,
      );
  }
  return there.filter((one) => !texts.some((text) => means(text, one)));
}

function defaultsOf(pool: PoolValue, given: readonly string[] | undefined): PoolValue['defaults'] {
  if (given === undefined) return pool.defaults;
  const all = new Map<string, string | undefined>(
    given.length === 0 ? [] : Object.entries(pool.defaults ?? {}),
  );
  for (const text of given) {
    const [key = '', ...rest] = text.split('=');
    const value = rest.join('=');
    if (key !== 'net_in' && key !== 'net_out' && key !== 'arp')
      throw new InvalidRequest(`default ${quoted(text)} is unknown: known are net_in=, net_out= and arp=`);
    if (rest.length === 0) {
      const like = key === 'arp' ? 'arp=preload' : `${key}=10mbit`;
      throw new InvalidRequest(
        `default ${quoted(text)} has no value: write it like ${like}, or ${key}= to remove it`,
      );
    }
    if (value === '') all.delete(DEFAULTS[key]);
    else all.set(DEFAULTS[key], key === 'arp' ? arpMode(value) : rateText(key, value));
  }
  return all.size === 0 ? undefined : Object.fromEntries(all);
}

function check(pool: PoolValue, subnet: Cidr): void {
  const ranges = pool.ranges ?? [];
  const { gateway } = pool;
  if (gateway !== undefined && !rangeHas(usableRange(subnet), parseIp(gateway))) {
    throw new InvalidRequest(
      `gateway ${gateway} is not an address of subnet ${formatCidr(subnet)}: give one inside of it`,
    );
  }
  if (ranges.length > MOST_RANGES || (pool.excludes ?? []).length > MOST_EXCLUDES) {
    throw new InvalidRequest(
      `pool ${nameOf(pool)} would have more than ${MOST_RANGES} ranges or ${MOST_EXCLUDES} excludes: join some of them`,
    );
  }
  ranges.forEach((range, index) => {
    const earlier = ranges.slice(0, index);
    const other = earlier.find((one) => rangesOverlap(rangeOf(one), rangeOf(range)));
    if (other !== undefined)
      throw new InvalidRequest(
        `range ${formatPoolRange(range)} overlaps range ${formatPoolRange(other)} of the same pool: each address is in one range at most`,
      );
    if (range.name !== undefined && earlier.some(({ name }) => name === range.name))
      throw new InvalidRequest(`two ranges of pool ${nameOf(pool)} are called ${range.name}: rename one`);
  });
}

function same(a: { first: string; last: string }, b: { first: string; last: string }): boolean {
  return a.first === b.first && a.last === b.last;
}

function wholeNumber(what: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new InvalidRequest(`${what} ${quoted(text)} is not a whole number from ${least} to ${most}`);
}

function seconds(what: string, text: string, least: number, most: number): number {
  const value = parseSeconds(text);
  if (value >= least && value <= most) return value;
  throw new InvalidRequest(
    `${what} ${quoted(text)} is not from ${formatSeconds(least)} to ${formatSeconds(most)}`,
  );
}

function rateText(key: string, text: string): string {
  return formatRate(parseLimit({ rate: text }, () => `default ${key}`)?.rateBitsPerSecond);
}

function arpMode(text: string): string {
  if (ARP_MODES.includes(text)) return text;
  throw new InvalidRequest(`default arp=${text.slice(0, 40)} is unknown: known are ${ARP_MODES.join(', ')}`);
}
