/**
 * Sizes of a burst as people write them: `15140` (bytes), `64kb`, `1mb`. As for tc(8) and `docker run --memory`, a kb is 1024
 * bytes; `kib` and `mib` are the same.
 *
 * Must not: guess. `64k`, `1m` and `64kbit` could be bits, as in a rate, and are refused with the reason.
 * Source: tc(8), "SIZES".
 */
import { InvalidRequest } from './errors.ts';
import { shortened } from './rate.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1024,
  kib: 1024,
  mb: 1024 ** 2,
  mib: 1024 ** 2,
};
/** Ten whole frames of 1514 bytes: with less the kernel stalls behind one large packet. */
export const LEAST_BURST_BYTES = 15_140;
/** Three times what 100gbit needs; more is no burst, but no limit. */
export const MOST_BURST_BYTES = 256 * 1024 ** 2;

/**
 * @param text `15140`, `64kb`, `1.5mb`; case does not matter
 * @returns whole bytes
 * @throws InvalidRequest
 */
export function parseBurst(text: string): number {
  const word = text.trim().toLowerCase();
  const [, digits = '', unit = ''] = /^(\d{1,12}(?:\.\d{1,9})?)([a-z/]*)$/.exec(word) ?? [];
  if (digits === '') throw refusal(text, 'is no number with a unit');
  const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  if (factor === undefined) throw refusal(text, unitComplaint(unit));
  const bytes = Math.round(Number(digits) * factor);
  if (bytes < LEAST_BURST_BYTES || bytes > MOST_BURST_BYTES)
    throw refusal(text, `is not from ${LEAST_BURST_BYTES} (ten frames) to ${formatBurst(MOST_BURST_BYTES)}`);
  return bytes;
}

/** The shortest text that {@link parseBurst} reads as the same: `15140`, `64kb`, `1mb`. */
export function formatBurst(bytes: number): string {
  if (bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2}mb`;
  if (bytes % 1024 === 0) return `${bytes / 1024}kb`;
  return `${bytes}`;
}

function unitComplaint(unit: string): string {
  if (/^[kmg]$|bit/.test(unit)) return 'may mean bits, and a burst is a size in bytes';
  return `has the unknown unit ${unit.slice(0, 16)}`;
}

function refusal(text: string, complaint: string): InvalidRequest {
  return new InvalidRequest(`burst ${shortened(text)} ${complaint}: write 15140 (bytes), 64kb or 1mb`);
}
