/**
 * Between the shapes of `store/kv.ts` and etcd's protobuf messages. Pure.
 *
 * Keys and values are UTF-8. Revisions are int64 on the wire and numbers here: 2^53 revisions are 28 centuries at
 * 100,000 writes a second, and `revisionOf` asserts it.
 *
 * @see etcd api/etcdserverpb/rpc.proto
 */
import type {
  ICompare,
  IDeleteRangeRequest,
  IEvent,
  IKeyValue,
  IRangeRequest,
  IRequestOp,
  IResponseOp,
  ITxnRequest,
  ITxnResponse,
} from 'etcd3';
import { InternalError } from '../core/errors.ts';
import type {
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeOptions,
  Transaction,
  TransactionResult,
  WatchEvent,
} from './kv.ts';

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

export function txnRequestOf(txn: Transaction): ITxnRequest {
  return {
    compare: txn.compare.map(wireCompareOf),
    success: txn.success.map(requestOpOf),
    failure: (txn.failure ?? []).map(requestOpOf),
  };
}

function wireCompareOf(compare: Compare): ICompare {
  switch (compare.test) {
    case 'absent':
      return { ...wireRangeOf({ key: compare.key }), target: 'Version', result: 'Equal', version: 0 };
    case 'rangeEmpty':
      // A compare over a range holds if it holds for every key in it: no key that exists has version 0.
      return { ...wireRangeOf({ prefix: compare.prefix }), target: 'Version', result: 'Equal', version: 0 };
    case 'noneBetween': {
      const { from, to } = compare;
      return { ...wireRangeOf({ from, to }), target: 'Version', result: 'Equal', version: 0 };
    }
    case 'createRevision':
      return {
        ...wireRangeOf({ key: compare.key }),
        target: 'Create',
        result: 'Equal',
        create_revision: compare.equals,
      };
    case 'modRevision':
      return {
        ...wireRangeOf({ key: compare.key }),
        target: 'Mod',
        result: 'Equal',
        mod_revision: compare.equals,
      };
    case 'value':
      return {
        ...wireRangeOf({ key: compare.key }),
        target: 'Value',
        result: 'Equal',
        value: Buffer.from(compare.equals),
      };
  }
}

function requestOpOf(operation: Operation): IRequestOp {
  switch (operation.do) {
    case 'put':
      return {
        request_put: {
          ...wireRangeOf({ key: operation.key }),
          value: Buffer.from(operation.value),
          lease: operation.ttlId ?? '0',
        },
      };
    case 'delete': {
      const request: IDeleteRangeRequest = wireRangeOf(operation.range);
      return { request_delete_range: request };
    }
    case 'get':
      return {
        request_range: rangeRequestOf(operation.range, { keysOnly: operation.keysOnly ?? false }),
      };
    case 'txn':
      return { request_txn: txnRequestOf(operation.txn) };
  }
}

export function txnResultOf(txn: Transaction, response: ITxnResponse): TransactionResult {
  return branchResultOf(txn, response, revisionOf(response.header.revision));
}

/** @param revision of the outermost transaction: etcd fills no other header, and all of it is one revision */
function branchResultOf(txn: Transaction, response: ITxnResponse, revision: number): TransactionResult {
  const branch = response.succeeded ? txn.success : (txn.failure ?? []);
  if (branch.length !== response.responses.length) {
    throw new InternalError(
      `etcd answered ${response.responses.length} results for ${branch.length} operations: report this bug`,
    );
  }
  return {
    revision,
    succeeded: response.succeeded,
    results: response.responses.map((result, i) => operationResultOf(branch[i], result, revision)),
  };
}

function operationResultOf(
  operation: Operation | undefined,
  result: IResponseOp,
  revision: number,
): OperationResult {
  switch (operation?.do) {
    case 'put':
      return { did: 'put' };
    case 'delete':
      return { did: 'delete', deleted: Number(result.response_delete_range.deleted) };
    case 'get':
      return { did: 'get', kvs: result.response_range.kvs.map(keyValueOf) };
    case 'txn':
      return { did: 'txn', result: branchResultOf(operation.txn, result.response_txn, revision) };
    case undefined:
      throw new InternalError('etcd answered a result for an operation that was not asked');
  }
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
