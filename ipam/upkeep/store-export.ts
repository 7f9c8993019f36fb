/** `lanius store export`: the store at one revision as lines (store-format.ts), read in pages and never held whole. */
import { createHash } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { endOfPrefix, pagesOf } from '../../store/pages.ts';
import {
  EXPORTED,
  entryOf,
  FAMILIES,
  parseLine,
  STORE_FORMAT,
  type StoreHeader,
  type StoreTrailer,
} from './store-format.ts';

export interface StoreExportDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly clock: Clock;
  /** Of Lanius. */
  readonly version: string;
}

/**
 * @returns texts of one line or more, with their line feeds; a text that is not followed by the trailer is no export
 * @throws StoreUnavailable at any time, also if etcd compacts the revision meanwhile
 */
export async function* exportStore(deps: StoreExportDependencies): AsyncGenerator<string> {
  const { kv, layout, clock, version } = deps;
  const { revision } = await kv.range({ key: layout.poolset });
  const hash = createHash('sha256');
  const at = new Date(clock.wall()).toISOString();
  const header: StoreHeader = { format: STORE_FORMAT, v: 1, prefix: layout.prefix, revision, at, version };
  const counts = { count: 0, left: 0 };
  const first = `${JSON.stringify(header)}\n`;
  hash.update(first);
  yield first;
  for (const kind of EXPORTED) {
    const prefix = layout.prefix + FAMILIES[kind];
    for await (const page of pagesOf(kv, { from: prefix, to: endOfPrefix(prefix), revision })) {
      const lines = page.flatMap((item) => lineOf(item, layout.prefix));
      counts.count += lines.length;
      counts.left += page.length - lines.length;
      const text = lines.join('');
      hash.update(text);
      if (text !== '') yield text;
    }
  }
  const { count, left } = counts;
  const trailer: StoreTrailer = { count, sha256: hash.digest('hex'), ...(left === 0 ? {} : { left }) };
  yield `${JSON.stringify(trailer)}\n`;
}

function lineOf(kv: KeyValue, prefix: string): string[] {
  const path = kv.key.slice(prefix.length);
  const value = parseLine(kv.value);
  try {
    entryOf(path, value);
  } catch {
    return [];
  }
  // JSON may have these two as they are; who reads lines may take them for the end of one.
  const text = JSON.stringify({ key: path, value }).replace(/[\u2028\u2029]/g, (end) =>
    end === '\u2028' ? '\\u2028' : '\\u2029',
  );
  return [`${text}\n`];
}
