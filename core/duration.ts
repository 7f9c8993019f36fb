/** Spans of time as people write them: `60s`, `10m`, `12h`, `7d`; a bare number is seconds. */
import { InvalidRequest } from './errors.ts';

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
];
/** Ten years: etcd's own TTLs reach no further than some hundred. */
const MOST_SECONDS = 315_360_000;

/** @returns whole seconds, 0 to ten years @throws InvalidRequest */
export function parseSeconds(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})([dhms]?)$/.exec(text.trim()) ?? [];
  const factor = UNITS.find(([name]) => name === unit)?.[1] ?? 1;
  const seconds = digits === '' ? Number.NaN : Number(digits) * factor;
  if (seconds <= MOST_SECONDS) return seconds;
  const shown = text.slice(0, 40).replace(/[^\x20-\x7e]/g, '?');
  throw new InvalidRequest(`"${shown}" is not a span of time: write it like 60s, 10m, 12h or 7d`);
}

/** In the largest unit that needs no fraction: `90s`, `10m`, `7d`. */
export function formatSeconds(seconds: number): string {
  const [name, factor] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['s', 1];
  return `${seconds / factor}${name}`;
}
