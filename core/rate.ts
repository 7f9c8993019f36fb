/**
 * Rates as people write them: `500` (kbit/s, as for wondershaper), `100mbit`, `1.5gbit`, `none`. One parser for every
 * place where a limit can be written.
 *
 * Must not: guess. What means different things to different people (`10mbps`, `10M`) is refused with the reason.
 * Source: tc(8), "RATES": kbit, mbit and gbit are decimal; tc's own `bps` means bytes.
 */
import { InvalidRequest } from './errors.ts';

const UNITS: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const LEAST = 8e3;
const MOST = 100e9;

/**
 * @param text `500`, `500kbit`, `1.5gbit`; `0`, `none` or nothing for no limit; case does not matter
 * @returns whole bits a second, or undefined for no limit
 * @throws InvalidRequest
 */
export function parseRate(text: string): number | undefined {
  const word = text.trim().toLowerCase();
  if (word === '' || word === '0' || word === 'none') return undefined;
  const [, digits = '', unit = ''] = /^(\d{1,12}(?:\.\d{1,9})?)([a-z/]*)$/.exec(word) ?? [];
  if (digits === '') throw refusal(text, 'is no number with a unit');
  const known = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  const factor = unit === '' ? UNITS['kbit'] : known;
  if (factor === undefined) throw refusal(text, unitComplaint(unit));
  const bitsPerSecond = Math.round(Number(digits) * factor);
  if (bitsPerSecond < LEAST || bitsPerSecond > MOST) throw refusal(text, 'is not from 8kbit to 100gbit');
  return bitsPerSecond;
}

/** The shortest text that {@link parseRate} reads as the same: `10mbit`, `1500kbit`, `none`. */
export function formatRate(bitsPerSecond: number | undefined): string {
  if (bitsPerSecond === undefined) return 'none';
  if (bitsPerSecond % 1e9 === 0) return `${bitsPerSecond / 1e9}gbit`;
  if (bitsPerSecond % 1e6 === 0) return `${bitsPerSecond / 1e6}mbit`;
  return `${bitsPerSecond / 1e3}kbit`;
}

function unitComplaint(unit: string): string {
  if (/^[kmg]?bps$|\/s$|ps$/.test(unit)) return 'may mean bits or bytes a second';
  if (/^[kmgt]ib/.test(unit)) return 'has a unit that is not decimal';
  return `has the unknown unit ${unit.slice(0, 16)}`;
}

function refusal(text: string, complaint: string): InvalidRequest {
  return new InvalidRequest(
    `rate ${shortened(text)} ${complaint}: write 500 (kbit/s), 100mbit, 1.5gbit or none`,
  );
}

/** What somebody typed, for one line of an error: in quotes, printable, at most 40 characters of it. */
export function shortened(text: string): string {
  const shown = text.length > 40 ? `${text.slice(0, 37)}...` : text;
  return `"${shown.replace(/[^\x20-\x7e]/g, '?')}"`;
}
