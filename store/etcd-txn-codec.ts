/**
 * etcd's Txn, both ways, between the shapes of `store/kv.ts` and bytes: the one call that a container waits for, so
 * it is written for speed. Everything else goes through `etcd-codec.ts`. Pure.
 *
 * Fields are written in reverse, see etcd-wire.ts. test/unit/store/etcd-txn-codec.test.ts holds it against etcd's own
 * proto files.
 *
 * @see etcd api/etcdserverpb/rpc.proto (TxnRequest, TxnResponse), api/mvccpb/kv.proto (KeyValue)
 */
import { InternalError, StoreUnavailable } from '../core/errors.ts';
import { wireRangeOf } from './etcd-codec.ts';
import { WireReader, WireWriter } from './etcd-wire.ts';
import type {
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  Transaction,
  TransactionResult,
} from './kv.ts';

/** Encoding is synchronous, so one writer serves all. */
const shared = new WireWriter();

/** TxnRequest. @throws InternalError for an empty key */
export function encodeTxn(txn: Transaction): Buffer {
  shared.clear();
  writeTxn(shared, txn);
  return shared.finish();
}

function writeTxn(writer: WireWriter, { compare, success, failure = [] }: Transaction): void {
  writeOperations(writer, 3, failure);
  writeOperations(writer, 2, success);
  for (let i = compare.length - 1; i >= 0; i -= 1) {
    const mark = writer.mark;
    writeCompare(writer, compare[i]);
    writer.nest(1, mark);
  }
}

function writeOperations(writer: WireWriter, field: number, operations: readonly Operation[]): void {
  for (let i = operations.length - 1; i >= 0; i -= 1) {
    const mark = writer.mark;
    writeOperation(writer, operations[i]);
    writer.nest(field, mark);
  }
}

/** RequestOp: request_range 1, request_put 2, request_delete_range 3, request_txn 4. */
function writeOperation(writer: WireWriter, operation: Operation | undefined): void {
  const mark = writer.mark;
  switch (operation?.do) {
    case 'put':
      if (operation.ttlId !== undefined) writer.bigint(3, BigInt(operation.ttlId));
      writer.text(2, operation.value);
      writeKey(writer, 1, operation.key);
      writer.nest(2, mark);
      break;
    case 'delete':
      writeRange(writer, operation.range, 1, 2);
      writer.nest(3, mark);
      break;
    case 'get':
      if (operation.keysOnly === true) writer.number(8, 1);
      writeRange(writer, operation.range, 1, 2);
      writer.nest(1, mark);
      break;
    case 'txn':
      writeTxn(writer, operation.txn);
      writer.nest(4, mark);
      break;
    case undefined:
  }
}

/** Compare: result (EQUAL is 0), target 2, key 3, version 4, create_revision 5, mod_revision 6, value 7, range_end 64. */
function writeCompare(writer: WireWriter, compare: Compare | undefined): void {
  switch (compare?.test) {
    case 'absent':
      writer.number(4, 0);
      writeKey(writer, 3, compare.key);
      break;
    case 'rangeEmpty':
      // A compare over a range holds if it holds for every key in it: no key that exists has version 0.
      writeAllAbsent(writer, { prefix: compare.prefix });
      break;
    case 'noneBetween':
      writeAllAbsent(writer, { from: compare.from, to: compare.to });
      break;
    case 'createRevision':
      writer.number(5, compare.equals);
      writeKey(writer, 3, compare.key);
      writer.number(2, 1);
      break;
    case 'modRevision':
      writer.number(6, compare.equals);
      writeKey(writer, 3, compare.key);
      writer.number(2, 2);
      break;
    case 'value':
      writer.text(7, compare.equals);
      writeKey(writer, 3, compare.key);
      writer.number(2, 3);
      break;
    case undefined:
  }
}

function writeAllAbsent(writer: WireWriter, range: KeyRange): void {
  const { key, range_end } = wireRangeOf(range);
  if (range_end !== undefined) writer.bytes(64, range_end);
  writer.number(4, 0);
  writer.bytes(3, key);
}

function writeRange(writer: WireWriter, range: KeyRange, keyField: number, endField: number): void {
  if ('key' in range) {
    writeKey(writer, keyField, range.key);
    return;
  }
  const { key, range_end } = wireRangeOf(range);
  if (range_end !== undefined) writer.bytes(endField, range_end);
  writer.bytes(keyField, key);
}

function writeKey(writer: WireWriter, field: number, key: string): void {
  if (key === '') throw new InternalError('a key of the store must not be empty');
  writer.text(field, key);
}

/**
 * TxnResponse of that transaction.
 * @throws InternalError if it does not fit it; StoreUnavailable with `outcomeUnknown` if it cannot be read
 */
export function decodeTxn(txn: Transaction, bytes: Buffer): TransactionResult {
  try {
    return readTxn(new WireReader(bytes), txn);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new StoreUnavailable(
      `etcd's answer to a transaction cannot be read (${cause.message}): check what is between it and this host`,
      { cause, outcomeUnknown: true },
    );
  }
}

/**
 * TxnResponse: header 1, succeeded 2, responses 3.
 * @param outer revision of the outermost transaction: etcd fills no other header, and all of it is one revision
 */
function readTxn(reader: WireReader, txn: Transaction, outer?: number): TransactionResult {
  let header: WireReader | undefined;
  let succeeded = false;
  const responses: WireReader[] = [];
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) header = reader.message();
    else if (field === 2) succeeded = reader.number() === 1;
    else if (field === 3) responses.push(reader.message());
    else reader.skip();
  }
  const revision = outer ?? exact(header === undefined ? 0 : numberIn(header, 3));
  const branch = succeeded ? txn.success : (txn.failure ?? []);
  if (branch.length !== responses.length) {
    throw new InternalError(
      `etcd answered ${responses.length} results for ${branch.length} operations: report this bug`,
    );
  }
  const results = branch.map((operation, i) => readResult(responses[i], operation, revision));
  return { revision, succeeded, results };
}

/** ResponseOp: response_range 1, response_put 2, response_delete_range 3, response_txn 4. */
function readResult(reader: WireReader | undefined, operation: Operation, revision: number): OperationResult {
  const field = reader?.next();
  if (reader === undefined || field !== RESULT_FIELDS[operation.do]) {
    throw new InternalError(`etcd answered a ${operation.do} with something else: report this bug`);
  }
  const answer = reader.message();
  switch (operation.do) {
    case 'put':
      return { did: 'put' };
    case 'delete':
      return { did: 'delete', deleted: numberIn(answer, 2) };
    case 'get':
      return { did: 'get', kvs: readKeyValues(answer) };
    case 'txn':
      return { did: 'txn', result: readTxn(answer, operation.txn, revision) };
  }
}

const RESULT_FIELDS: Readonly<Record<Operation['do'], number>> = { get: 1, put: 2, delete: 3, txn: 4 };

/** RangeResponse: kvs 2. */
function readKeyValues(reader: WireReader): KeyValue[] {
  const kvs: KeyValue[] = [];
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) kvs.push(readKeyValue(reader.message()));
    else reader.skip();
  }
  return kvs;
}

/** KeyValue: key 1, create_revision 2, mod_revision 3, value 5. */
function readKeyValue(reader: WireReader): KeyValue {
  let key = '';
  let value = '';
  let createRevision = 0;
  let modRevision = 0;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) key = reader.text();
    else if (field === 2) createRevision = exact(reader.number());
    else if (field === 3) modRevision = exact(reader.number());
    else if (field === 5) value = reader.text();
    else reader.skip();
  }
  return { key, value, createRevision, modRevision };
}

/** @throws InternalError beyond 2^53 */
function exact(revision: number): number {
  if (!Number.isSafeInteger(revision)) throw new InternalError(`etcd's revision ${revision} is beyond 2^53`);
  return revision;
}

/** A number field of a message, 0 if it is left out. */
function numberIn(reader: WireReader, wanted: number): number {
  let found = 0;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === wanted) found = reader.number();
    else reader.skip();
  }
  return found;
}
