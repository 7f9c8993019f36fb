/**
 * Reads a range of keys in pages, all of them as they were at one revision: a picture of the store in which nothing
 * moves, however long it takes to read.
 */
import type { KeyValue, KvPort } from './kv.ts';

export interface PagesOptions {
  /** First key. */
  readonly from: string;
  /** First key that is not read any more. */
  readonly to: string;
  /** The revision to read at. */
  readonly revision: number;
  /** Keys in a page. */
  readonly pageSize?: number;
}

/** A page of 1,000 leases takes the daemon some 10 ms, in which it serves nobody else. */
const PAGE_SIZE = 1000;
export const PAGE_TIMEOUT_MS = 10_000;

/** @throws StoreUnavailable, also if etcd compacts the revision meanwhile */
export async function* pagesOf(kv: KvPort, options: PagesOptions): AsyncGenerator<readonly KeyValue[]> {
  const { to, revision, pageSize = PAGE_SIZE } = options;
  let { from } = options;
  let span: bigint | undefined;
  for (;;) {
    const end = endOfWindow(from, span, to);
    const range = { from, to: end };
    const { kvs } = await kv.range(range, { revision, limit: pageSize, timeoutMs: PAGE_TIMEOUT_MS });
    if (kvs.length > 0) yield kvs;
    const [first, last] = [kvs[0], kvs.at(-1)];
    if (first !== undefined && last !== undefined && kvs.length >= pageSize) {
      span = spanOf(first.key, last.key);
      from = `${last.key}\0`;
    } else if (end === to) {
      return;
    } else {
      from = end;
      span = span === undefined ? undefined : span * 4n;
    }
  }
}

/**
 * etcd counts all the rest of a range for every page of it, 220 ms for a million keys. So a page that ended within the
 * addresses of one pool is followed by a range of about as many addresses, not by all the rest.
 */
function endOfWindow(from: string, span: bigint | undefined, to: string): string {
  const at = span === undefined ? undefined : addressAt(from);
  if (at === undefined || span === undefined) return to;
  const end = (at.value + span).toString(16).padStart(at.width, '0');
  if (end.length > at.width) return to;
  const key = at.parent + end;
  return key < to ? key : to;
}

/** Addresses that a page has covered, and some more; undefined if it is not of one pool. */
function spanOf(first: string, last: string): bigint | undefined {
  const [a, b] = [addressAt(first), addressAt(last)];
  if (a === undefined || b === undefined || a.parent !== b.parent) return undefined;
  return ((b.value - a.value) * 9n) / 8n + 2n;
}

function addressAt(key: string): { parent: string; value: bigint; width: number } | undefined {
  const [, parent, hex] = /^(.*\/)([0-9a-f]{8}|[0-9a-f]{32})\0?$/s.exec(key) ?? [];
  if (parent === undefined || hex === undefined) return undefined;
  return { parent, value: BigInt(`0x${hex}`), width: hex.length };
}

/** The first key after all that start with `prefix`. */
export function endOfPrefix(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
