/** Ranges of addresses as people write them and as sets: text, order, difference. Pure. */
import { InvalidRequest } from '../../core/errors.ts';
import { cidrRange, formatIp, type IpAddress, type IpRange, parseCidr, parseIp } from '../../core/ip.ts';

/**
 * @param text `10.1.0.10-10.1.0.99`, `10.1.0.0/24` (all of it), or one address
 * @throws InvalidRequest
 */
export function parseRange(text: string): IpRange {
  if (text.includes('/')) return cidrRange(parseCidr(text));
  const [from = '', to = from, ...rest] = text.split('-');
  const [first, last] = [parseIp(from.trim()), parseIp(to.trim())];
  if (rest.length > 0 || first.family !== last.family || last.value < first.value) {
    throw new InvalidRequest(
      `"${text.slice(0, 90)}" is not a range: write it like 10.1.0.10-10.1.0.99 or 10.1.0.0/24`,
    );
  }
  return { family: first.family, first: first.value, last: last.value };
}

/** `10.1.0.10-10.1.0.99`, or one address. */
export function formatRange(range: IpRange): string {
  const [first, last] = endsOf(range);
  return first === last ? first : `${first}-${last}`;
}

export function endsOf({ family, first, last }: IpRange): [first: string, last: string] {
  return [formatIp({ family, value: first }), formatIp({ family, value: last })];
}

export function rangeOf(ends: { readonly first: string; readonly last: string }): IpRange {
  const first = parseIp(ends.first);
  return { family: first.family, first: first.value, last: parseIp(ends.last).value };
}

export function rangeOfOne({ family, value }: IpAddress): IpRange {
  return { family, first: value, last: value };
}

export function rangesOverlap(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** What of `ranges` is in none of `holes`, in order of addresses. @param ranges disjoint, of one family */
export function without(ranges: readonly IpRange[], holes: readonly IpRange[]): IpRange[] {
  const cuts = holes.toSorted(byFirst);
  return ranges.toSorted(byFirst).flatMap((range) => {
    const parts: IpRange[] = [];
    let { first } = range;
    for (const hole of cuts) {
      if (hole.family !== range.family || hole.last < first || hole.first > range.last) continue;
      if (hole.first > first) parts.push({ ...range, first, last: hole.first - 1n });
      first = hole.last + 1n;
    }
    return first <= range.last ? [...parts, { ...range, first }] : parts;
  });
}

function byFirst(a: IpRange, b: IpRange): number {
  return a.first < b.first ? -1 : Number(a.first > b.first);
}
