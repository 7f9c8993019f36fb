/**
 * Between the shapes of `store/kv.ts` and etcd's protobuf messages, but for transactions (etcd-txn-codec.ts). Pure.
 *
 * Keys and values are UTF-8. Revisions are int64 on the wire and numbers here: 2^53 revisions are 28 centuries at
 * 100,000 writes a second, and `revisionOf` asserts it.
 *
 * @see etcd api/etcdserverpb/rpc.proto
 */
import type { IEvent, IKeyValue, IRangeRequest } from 'etcd3';
import { InternalError } from '../core/errors.ts';
import type { KeyRange, KeyValue, RangeOptions, WatchEvent } from './kv.ts';

/** `key` and `range_end` as etcd wants them; no `range_end` = that key only. */
export interface WireRange {
  readonly key: Buffer;
  readonly range_end?: Buffer;
}

const ZERO_BYTE = Buffer.from([0]);

/** @throws InternalError for an empty key or an empty upper bound, which etcd would read as something else */
export function wireRangeOf(range: KeyRange): WireRange {
  if ('key' in range) {
    if (range.key === '') throw new InternalError('a key of the store must not be empty');
    return { key: Buffer.from(range.key) };
  }
  if ('prefix' in range) {
    if (range.prefix === '') return { key: ZERO_BYTE, range_end: ZERO_BYTE };
    const key = Buffer.from(range.prefix);
    return { key, range_end: endOfPrefix(key) };
  }
  if (range.to === '') throw new InternalError('the upper bound of a key range must not be empty');
  return { key: range.from === '' ? ZERO_BYTE : Buffer.from(range.from), range_end: Buffer.from(range.to) };
}

/** The first key after all those with this prefix. No byte of UTF-8 is 0xff, so the last byte can always grow. */
function endOfPrefix(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}

export function rangeRequestOf(range: KeyRange, options: RangeOptions = {}): IRangeRequest {
  return {
    ...wireRangeOf(range),
    keys_only: options.keysOnly ?? false,
    count_only: options.countOnly ?? false,
    limit: options.limit ?? 0,
    serializable: options.serializable ?? false,
    revision: options.revision ?? 0,
  };
}

export function keyValueOf(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: revisionOf(kv.create_revision),
    modRevision: revisionOf(kv.mod_revision),
  };
}

/** A deletion has an empty value and createRevision 0; its modRevision is the revision of the deletion. */
export function watchEventOf(event: IEvent): WatchEvent {
  return { type: event.type === 'Delete' ? 'delete' : 'put', kv: keyValueOf(event.kv) };
}

/** @throws InternalError beyond 2^53 */
export function revisionOf(text: string): number {
  const revision = Number(text);
  if (!Number.isSafeInteger(revision)) {
    throw new InternalError(`etcd's revision ${text} is beyond 2^53: this build cannot count so far`);
  }
  return revision;
}
