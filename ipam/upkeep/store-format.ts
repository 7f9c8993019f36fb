/**
 * The form of an export of the store: JSON lines. First a header, then one line a key, then a trailer by which a
 * file is known to be whole.
 *
 *   {"format":"lanius-store","v":1,"prefix":"/lanius/v1/","revision":812,"at":"2026-01-31T12:00:00.000Z","version":"0.1.0"}
 *   {"key":"pools/10.77.0.0-16","value":{"v":1,"subnet":"10.77.0.0/16",…}}
 *   {"count":1,"sha256":"…"}
 *
 * Not in it: what follows from the leases (hosts' indexes, names) and is made of them at import, so that no import
 * can disagree with itself; and what is of the moment (sessions, sweeper, dead marks, cooling, what hosts say of their
 * own addresses and bandwidth).
 */
import { z } from 'zod';
import { InvalidRequest } from '../../core/errors.ts';
import { hostSchema, leaseSchema, limitSchema, poolSchema } from '../../store/schema.ts';
import { parseStoreKey, type StoreKey } from './store-keys.ts';

export const STORE_FORMAT = 'lanius-store';

/** Kinds of keys in an export, in its order: what stands on others comes after them. */
export const EXPORTED = ['host', 'pool', 'use', 'lease', 'hold', 'limit'] as const;
export type ExportedKind = (typeof EXPORTED)[number];
export type ExportedKey = Extract<StoreKey, { readonly kind: ExportedKind }>;

/** Family of keys of each kind. */
export const FAMILIES: Readonly<Record<ExportedKind, string>> = {
  host: 'hosts/',
  pool: 'pools/',
  use: 'uses/',
  lease: 'leases/',
  hold: 'holds/',
  limit: 'limits/',
};

export const headerSchema = z.object({
  format: z.literal(STORE_FORMAT),
  v: z.literal(1),
  prefix: z.string(),
  revision: z.number().int(),
  at: z.string(),
  version: z.string(),
});
export type StoreHeader = z.infer<typeof headerSchema>;

export const trailerSchema = z.object({
  /** Lines between header and trailer. */
  count: z.number().int(),
  /** Of all lines before this one, with their line feeds. */
  sha256: z.string(),
  /** Keys that could not be exported because they are damaged. */
  left: z.number().int().optional(),
});
export type StoreTrailer = z.infer<typeof trailerSchema>;

const entrySchema = z.object({ key: z.string(), value: z.looseObject({ v: z.literal(1) }) });
const markSchema = z.looseObject({ v: z.literal(1) });
const SCHEMAS: Readonly<Record<ExportedKind, z.ZodType>> = {
  host: hostSchema,
  pool: poolSchema,
  use: markSchema,
  lease: leaseSchema,
  hold: markSchema,
  limit: limitSchema,
};

/** One key of an export, understood. */
export interface StoreEntry {
  /** Without the prefix. */
  readonly path: string;
  readonly key: ExportedKey;
  /** As it goes into the store. */
  readonly text: string;
}

/** @throws InvalidRequest that says what is wrong with the line */
export function entryOf(path: string, value: unknown): StoreEntry {
  const key = parseStoreKey(path);
  if (key === undefined || !isExported(key)) throw new InvalidRequest(`"${path}" is no key of an export`);
  const parsed = SCHEMAS[key.kind].safeParse(value);
  if (!parsed.success) throw new InvalidRequest(`the value of ${path} has the wrong shape`);
  return { path, key, text: JSON.stringify(value) };
}

/** @throws InvalidRequest */
export function parseEntry(line: string): StoreEntry {
  const parsed = entrySchema.safeParse(parseLine(line));
  if (!parsed.success) throw new InvalidRequest('a key and its value are expected');
  return entryOf(parsed.data.key, parsed.data.value);
}

/** @returns undefined if it is no JSON */
export function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function isExported(key: StoreKey): key is ExportedKey {
  return EXPORTED.some((kind) => kind === key.kind);
}
