/**
 * What operators write about pools, read and written back: labels, selectors, ranges with their users. Texts come from
 * the command line as they are, so every complaint names the text and the form that is wanted.
 */
import { InvalidRequest } from '../../core/errors.ts';
import { type Cidr, cidrRange, formatCidr, type IpRange } from '../../core/ip.ts';
import type { PoolRangeValue } from '../../store/schema.ts';
import { endsOf, formatRange, parseRange, rangeOf } from '../address/ranges.ts';
import { type Labels, labelsText } from './pool-policy.ts';

/** Name of a pool or of a range. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const LABEL_VALUE = /^[A-Za-z0-9._-]{1,63}$/;
/** As the engine allows container names (moby daemon/names/names.go), and `*`. */
const PATTERN = /^[A-Za-z0-9*][A-Za-z0-9*_.-]{0,127}$/;
/** Words of a range that are no labels. */
const RESERVED = ['name', 'container', 'select'];

/** @throws InvalidRequest */
export function parseName(what: string, text: string): string {
  if (NAME.test(text)) return text;
  throw new InvalidRequest(
    `${what} ${quoted(text)} is not a name: use letters, digits, dots, dashes and underscores, at most 63`,
  );
}

/** @param text `rack=r1,zone=b` @throws InvalidRequest */
export function parseLabels(text: string): Labels {
  const parts = text.split(',');
  refuseTwice(parts, text);
  return Object.fromEntries(
    parts.map((part) => {
      const [key, value] = pairOf(part);
      if (LABEL_KEY.test(key) && LABEL_VALUE.test(value)) return [key, value];
      throw new InvalidRequest(`label ${quoted(part)} is not of the form KEY=VALUE, like rack=r1`);
    }),
  );
}

/** @param text `none`, or labels @throws InvalidRequest */
export function parseSelect(text: string): 'none' | Labels {
  return text === 'none' ? 'none' : parseLabels(text);
}

export function formatSelect(select: 'none' | Labels): string {
  return select === 'none' ? select : labelsText(select);
}

/** @returns the range, inside the subnet @throws InvalidRequest */
export function parseRangeOf(subnet: Cidr, what: string, text: string): { first: string; last: string } {
  const range = parseRange(text);
  const whole = cidrRange(subnet);
  if (range.family !== whole.family || range.first < whole.first || range.last > whole.last) {
    throw new InvalidRequest(
      `${what} ${formatRange(range)} is not inside of subnet ${formatCidr(subnet)}: choose a part of it`,
    );
  }
  const [first, last] = endsOf(range);
  return { first, last };
}

/**
 * @param text `10.1.0.10-10.1.0.99,name=web,rack=r1,container=web-*,select=none`: a range, then its name, the labels of
 *   its hosts, the container names it is for, and whether it is taken from by name only
 * @throws InvalidRequest
 */
export function parsePoolRange(subnet: Cidr, text: string): PoolRangeValue {
  const [range = '', ...words] = text.split(',');
  refuseTwice(words, text);
  const given = new Map(words.map((word) => pairOf(word)));
  const name = given.get('name');
  const containers = given.get('container');
  const select = given.get('select');
  if (select !== undefined && select !== 'none')
    throw new InvalidRequest(`range ${quoted(text)}: select can only be none`);
  if (containers !== undefined && !PATTERN.test(containers)) {
    throw new InvalidRequest(
      `range ${quoted(text)}: ${quoted(containers)} is not a container name, which may have *`,
    );
  }
  const labels = words.filter((word) => !RESERVED.includes(pairOf(word)[0]));
  return {
    ...parseRangeOf(subnet, 'range', range),
    ...(name === undefined ? {} : { name: parseName('range name', name) }),
    ...(labels.length === 0 ? {} : { hosts: parseLabels(labels.join(',')) }),
    ...(containers === undefined ? {} : { containers }),
    ...(select === undefined ? {} : { select: 'none' as const }),
  };
}

/** The text that {@link parsePoolRange} reads as the same. */
export function formatPoolRange(range: PoolRangeValue): string {
  const words = [
    formatRange(rangeOf(range)),
    ...(range.name === undefined ? [] : [`name=${range.name}`]),
    ...(range.hosts === undefined ? [] : [labelsText(range.hosts)]),
    ...(range.containers === undefined ? [] : [`container=${range.containers}`]),
    ...(range.select === undefined ? [] : [`select=${range.select}`]),
  ];
  return words.join(',');
}

/** Whether a text, the name of a range or its addresses, means this range. @throws InvalidRequest if it is neither */
export function means(
  text: string,
  range: { first: string; last: string; name?: string | undefined },
): boolean {
  if (range.name !== undefined && range.name === text) return true;
  if (NAME.test(text) && !/^[\d.-]+$/.test(text)) return false;
  return sameRange(parseRange(text), rangeOf(range));
}

export function quoted(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return `"${printable.length > 80 ? `${printable.slice(0, 77)}...` : printable}"`;
}

/** The last would win, and nobody notice. @throws InvalidRequest */
function refuseTwice(words: readonly string[], text: string): void {
  const keys = words.map((word) => pairOf(word)[0]);
  const twice = keys.find((key, index) => keys.indexOf(key) < index);
  if (twice !== undefined)
    throw new InvalidRequest(`${quoted(twice)} is given twice in ${quoted(text)}: leave one out`);
}

function sameRange(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.first === b.first && a.last === b.last;
}

function pairOf(text: string): [key: string, value: string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
