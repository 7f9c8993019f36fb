import { createRequire } from 'node:module';
import { expect } from 'chai';
import fc from 'fast-check';
import { InternalError, StoreUnavailable } from '../../../core/errors.ts';
import { wireRangeOf } from '../../../store/etcd-codec.ts';
import { decodeTxn, encodeTxn } from '../../../store/etcd-txn-codec.ts';
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  Transaction,
  TransactionResult,
} from '../../../store/kv.ts';

/** The same call by etcd's own proto files, as the npm package etcd3 brings them. */
interface TxnMethod {
  requestSerialize(request: Wire): Buffer;
  requestDeserialize(bytes: Buffer): Wire;
  responseSerialize(response: Wire): Buffer;
}
interface Wire {
  readonly [field: string]: unknown;
}

const load = createRequire(createRequire(import.meta.url).resolve('etcd3'));
const { loadSync } = load('@grpc/proto-loader') as {
  readonly loadSync: (file: string, options: object) => Record<string, { readonly Txn: TxnMethod }>;
};
const proto = loadSync(load.resolve('../proto/rpc.proto'), {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 });
const revision = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({ test: fc.constant('absent' as const), key: text }),
  fc.record({ test: fc.constant('rangeEmpty' as const), prefix: text }),
  fc.record({ test: fc.constant('noneBetween' as const), from: text, to: text }),
  fc.record({ test: fc.constant('createRevision' as const), key: text, equals: revision }),
  fc.record({ test: fc.constant('modRevision' as const), key: text, equals: revision }),
  fc.record({ test: fc.constant('value' as const), key: text, equals: fc.string({ unit: 'binary' }) }),
);
const range = fc.oneof(
  fc.record({ key: text }),
  fc.record({ prefix: fc.string({ unit: 'binary' }) }),
  fc.record({ from: fc.string({ unit: 'binary' }), to: text }),
);
const ttlId = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String);
const { transaction } = fc.letrec<{ transaction: Transaction; operation: Operation }>((tie) => ({
  operation: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record(
      { do: fc.constant('put' as const), key: text, value: fc.string({ unit: 'binary' }), ttlId },
      { requiredKeys: ['do', 'key', 'value'] },
    ),
    fc.record({ do: fc.constant('delete' as const), range }),
    fc.record(
      { do: fc.constant('get' as const), range, keysOnly: fc.boolean() },
      { requiredKeys: ['do', 'range'] },
    ),
    fc.record({ do: fc.constant('txn' as const), txn: tie('transaction') }),
  ),
  transaction: fc.record(
    {
      compare: fc.array(compare, { maxLength: 4 }),
      success: fc.array(tie('operation'), { maxLength: 5 }),
      failure: fc.array(tie('operation'), { maxLength: 3 }),
    },
    { requiredKeys: ['compare', 'success'] },
  ),
}));

const TARGETS = { createRevision: 'Create', modRevision: 'Mod', value: 'Value' } as const;
const VALUES = { createRevision: 'create_revision', modRevision: 'mod_revision', value: 'value' } as const;

/** The message as the proto files want it. */
function wireOf({ compare: compares, success, failure = [] }: Transaction): Wire {
  return {
    compare: compares.map(wireCompareOf),
    success: success.map(wireOperationOf),
    failure: failure.map(wireOperationOf),
  };
}

function wireCompareOf(one: Compare): Wire {
  switch (one.test) {
    case 'absent':
      return { key: Buffer.from(one.key), target: 'Version', version: 0 };
    case 'rangeEmpty':
      return { ...wireRangeOf({ prefix: one.prefix }), target: 'Version', version: 0 };
    case 'noneBetween':
      return { ...wireRangeOf({ from: one.from, to: one.to }), target: 'Version', version: 0 };
    case 'createRevision':
    case 'modRevision':
    case 'value': {
      const value = one.test === 'value' ? Buffer.from(one.equals) : one.equals;
      return { key: Buffer.from(one.key), target: TARGETS[one.test], [VALUES[one.test]]: value };
    }
  }
}

function wireOperationOf(one: Operation): Wire {
  switch (one.do) {
    case 'put': {
      const [key, value] = [Buffer.from(one.key), Buffer.from(one.value)];
      return { request_put: { key, value, lease: one.ttlId ?? '0' } };
    }
    case 'delete':
      return { request_delete_range: wireRangeOf(one.range) };
    case 'get':
      return { request_range: { ...wireRangeOf(one.range), keys_only: one.keysOnly ?? false } };
    case 'txn':
      return { request_txn: wireOf(one.txn) };
  }
}

const FOUND: KeyValue = { key: 'ключ', value: '', createRevision: 3, modRevision: 2 ** 53 - 1 };
const DELETED = 128;

/** What etcd might answer; nested, all do the same. */
function responseTo(txn: Transaction, succeeded: boolean, at: number): Wire {
  const branch = succeeded ? txn.success : (txn.failure ?? []);
  const responses = branch.map((one): Wire => {
    const { key, value, createRevision, modRevision } = FOUND;
    const kv = {
      key: Buffer.from(key),
      value: Buffer.from(value),
      create_revision: createRevision,
      mod_revision: modRevision,
      version: 9,
      lease: '9223372036854775807',
    };
    if (one.do === 'put') return { response_put: { header: { revision: 1 } } };
    if (one.do === 'delete') return { response_delete_range: { header: {}, deleted: DELETED } };
    if (one.do === 'get') return { response_range: { header: {}, kvs: [kv, kv], count: 2 } };
    return { response_txn: { ...responseTo(one.txn, succeeded, 0), header: {} } };
  });
  return { header: { cluster_id: '18446744073709551615', revision: at, raft_term: 4 }, succeeded, responses };
}

function resultOf(txn: Transaction, succeeded: boolean, at: number): TransactionResult {
  const branch = succeeded ? txn.success : (txn.failure ?? []);
  const results = branch.map((one): OperationResult => {
    if (one.do === 'put') return { did: 'put' };
    if (one.do === 'delete') return { did: 'delete', deleted: DELETED };
    if (one.do === 'get') return { did: 'get', kvs: [FOUND, FOUND] };
    return { did: 'txn', result: resultOf(one.txn, succeeded, at) };
  });
  return { revision: at, succeeded, results };
}

describe('store/etcd-txn-codec', () => {
  let txnMethod: TxnMethod;
  before(() => {
    const service = proto['etcdserverpb.KV'];
    if (service === undefined) throw new Error('the proto files have no KV');
    txnMethod = service.Txn;
  });

  const readBack = (bytes: Buffer): Wire => txnMethod.requestDeserialize(bytes);

  it('writes what the proto files read as the same transaction', () => {
    fc.assert(
      fc.property(transaction, (txn) => {
        expect(readBack(encodeTxn(txn))).to.deep.equal(readBack(txnMethod.requestSerialize(wireOf(txn))));
      }),
    );
  });

  it('reads what the proto files write', () => {
    fc.assert(
      fc.property(transaction, fc.boolean(), revision, (txn, succeeded, at) => {
        const bytes = txnMethod.responseSerialize(responseTo(txn, succeeded, at));
        expect(decodeTxn(txn, bytes)).to.deep.equal(resultOf(txn, succeeded, at));
      }),
    );
  });

  it('writes keys and values of any length', () => {
    const value = 'ä'.repeat(100_000);
    const put = { do: 'put', key: 'k'.repeat(5000), value } as const;
    const txn = { compare: [], success: [put, { do: 'txn', txn: { compare: [], success: [put] } }] } as const;
    expect(readBack(encodeTxn(txn))).to.deep.equal(readBack(txnMethod.requestSerialize(wireOf(txn))));
  });

  it('refuses what etcd would read as something else', () => {
    const get = { do: 'get', range: { key: '' } } as const;
    expect(() => encodeTxn({ compare: [], success: [get] })).to.throw(InternalError, 'must not be empty');
    expect(() => encodeTxn({ compare: [{ test: 'absent', key: '' }], success: [] })).to.throw(InternalError);
  });

  it('refuses an answer that does not fit the transaction', () => {
    const put: Transaction = { compare: [], success: [{ do: 'put', key: 'a', value: 'b' }] };
    const get: Transaction = { compare: [], success: [{ do: 'get', range: { key: 'a' } }] };
    const answer = txnMethod.responseSerialize(responseTo(put, true, 7));
    expect(() => decodeTxn(get, answer)).to.throw(InternalError, 'answered a get with something else');
    const none = txnMethod.responseSerialize({ header: { revision: 7 }, succeeded: false });
    expect(decodeTxn(put, none)).to.deep.equal({ revision: 7, succeeded: false, results: [] });
    const tooFew = txnMethod.responseSerialize({ header: { revision: 7 }, succeeded: true });
    expect(() => decodeTxn(put, tooFew)).to.throw(InternalError, '0 results for 1 operations');
  });

  it('refuses an answer that is cut off, at every byte', () => {
    const get = { do: 'get', range: { key: 'a' } } as const;
    const txn: Transaction = { compare: [], success: [get], failure: [get] };
    const whole = txnMethod.responseSerialize(responseTo(txn, true, 300));
    const results = Array.from({ length: whole.length }, (_, length) => {
      try {
        return decodeTxn(txn, whole.subarray(0, length)).results.length;
      } catch (error) {
        return error instanceof StoreUnavailable || error instanceof InternalError ? 'refused' : error;
      }
    });
    expect(new Set(results)).to.deep.equal(new Set(['refused']));
  });

  it('refuses revisions beyond 2^53', () => {
    const bytes = txnMethod.responseSerialize({ header: { revision: '9007199254740993' }, succeeded: true });
    expect(() => decodeTxn({ compare: [], success: [] }, bytes)).to.throw(InternalError, 'beyond 2^53');
  });

  it('passes over fields of a newer etcd', () => {
    const bytes = txnMethod.responseSerialize({ header: { revision: 7 }, succeeded: true });
    // field 15: a varint, and some bytes
    const newer = Buffer.concat([Buffer.from([15 * 8, 200, 1, 15 * 8 + 2, 2, 9, 9]), bytes]);
    expect(decodeTxn({ compare: [], success: [] }, newer).revision).to.equal(7);
  });
});
