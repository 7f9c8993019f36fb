/**
 * What `store/kv.ts` promises, against a real etcd: transactions, compares, TTLs, counts. The faults are in
 * kv-faults.test.ts and kv-watch.test.ts.
 */
import { expect } from 'chai';
import { InternalError, NotFound } from '../../core/errors.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import type { Compare, Operation, Transaction } from '../../store/kv.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { need } from '../support/require.ts';

const put = (key: string, value: string): Operation => ({ do: 'put', key, value });

describe('store/etcd-kv', () => {
  let etcd: EtcdProcess;
  let kv: EtcdKv;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    kv = new EtcdKv({ hosts: [etcd.host] });
  });
  after(async () => {
    kv?.close();
    await etcd?.stop();
  });

  const write = (key: string, value: string) => kv.txn({ compare: [], success: [put(key, value)] });
  const holds = async (...compare: Compare[]) => (await kv.txn({ compare, success: [] })).succeeded;

  it('keeps UTF-8 keys and values and tells both revisions', async () => {
    const first = await write('utf/zürich/漢', 'grüße 🐳');
    const second = await write('utf/zürich/漢', '');
    const { kvs, count, revision } = await kv.range({ key: 'utf/zürich/漢' });
    expect(kvs).to.deep.equal([
      { key: 'utf/zürich/漢', value: '', createRevision: first.revision, modRevision: second.revision },
    ]);
    expect(count).to.equal(1);
    expect(revision).to.be.at.least(second.revision);
  });

  it('ranges over a key, a prefix, an interval, everything', async () => {
    for (const key of ['r/a', 'r/b', 'r/c', 'r0', 'r/\u007f']) await write(key, key);
    const keys = async (...range: Parameters<typeof kv.range>) =>
      (await kv.range(...range)).kvs.map(({ key }) => key);
    expect(await keys({ key: 'r/b' })).to.deep.equal(['r/b']);
    expect(await keys({ key: 'r/none' })).to.deep.equal([]);
    expect(await keys({ prefix: 'r/' })).to.deep.equal(['r/a', 'r/b', 'r/c', 'r/\u007f']);
    expect(await keys({ prefix: 'r/\u007f' })).to.deep.equal(['r/\u007f']);
    expect(await keys({ from: 'r/a', to: 'r/c' })).to.deep.equal(['r/a', 'r/b']);
    expect(await keys({ prefix: '' })).to.include.members(['r/a', 'r0']);
  });

  it('limits, counts and leaves out values, also from the own data of the member', async () => {
    for (let i = 0; i < 5; i += 1) await write(`count/${i}`, 'x');
    const limited = await kv.range({ prefix: 'count/' }, { limit: 2, keysOnly: true });
    expect(limited.kvs.map(({ value }) => value)).to.deep.equal(['', '']);
    expect(limited.count).to.equal(5);
    const counted = await kv.range({ prefix: 'count/' }, { countOnly: true, serializable: true });
    expect(counted).to.deep.include({ kvs: [], count: 5 });
  });

  it('compares absence, revisions, values and empty ranges', async () => {
    const created = (await write('cmp/a', '1')).revision;
    const changed = (await write('cmp/a', '2')).revision;
    expect(await holds({ test: 'absent', key: 'cmp/a' })).to.equal(false);
    expect(await holds({ test: 'absent', key: 'cmp/none' })).to.equal(true);
    expect(await holds({ test: 'createRevision', key: 'cmp/a', equals: created })).to.equal(true);
    expect(await holds({ test: 'createRevision', key: 'cmp/a', equals: changed })).to.equal(false);
    expect(await holds({ test: 'modRevision', key: 'cmp/a', equals: changed })).to.equal(true);
    expect(await holds({ test: 'modRevision', key: 'cmp/a', equals: created })).to.equal(false);
    expect(await holds({ test: 'modRevision', key: 'cmp/none', equals: 0 })).to.equal(true);
    expect(await holds({ test: 'value', key: 'cmp/a', equals: '2' })).to.equal(true);
    expect(await holds({ test: 'value', key: 'cmp/a', equals: '1' })).to.equal(false);
    expect(await holds({ test: 'value', key: 'cmp/none', equals: '' })).to.equal(false);
    expect(await holds({ test: 'rangeEmpty', prefix: 'cmp/' })).to.equal(false);
    expect(await holds({ test: 'rangeEmpty', prefix: 'cmp/n' })).to.equal(true);
    expect(await holds({ test: 'noneBetween', from: 'cmp/', to: 'cmp/a' })).to.equal(true);
    expect(await holds({ test: 'noneBetween', from: 'cmp/a', to: 'cmp/b' })).to.equal(false);
    expect(await holds({ test: 'noneBetween', from: 'cmp/a\0', to: 'cmp0' })).to.equal(true);
    expect(
      await holds({ test: 'rangeEmpty', prefix: 'cmp/n' }, { test: 'absent', key: 'cmp/a' }),
      'one of two fails',
    ).to.equal(false);
  });

  it('executes one branch and answers in its order', async () => {
    await write('branch/a', 'old');
    const txn: Transaction = {
      compare: [{ test: 'absent', key: 'branch/a' }],
      success: [put('branch/never', 'x')],
      failure: [
        { do: 'get', range: { key: 'branch/a' } },
        put('branch/b', 'new'),
        { do: 'delete', range: { prefix: 'branch/a' } },
        { do: 'get', range: { prefix: 'branch/' }, keysOnly: true },
      ],
    };
    const { succeeded, results } = await kv.txn(txn);
    expect(succeeded).to.equal(false);
    expect(results.map(({ did }) => did)).to.deep.equal(['get', 'put', 'delete', 'get']);
    expect(results[0]).to.have.nested.property('kvs[0].value', 'old');
    expect(results[2]).to.deep.equal({ did: 'delete', deleted: 1 });
    expect(results[3]).to.have.nested.property('kvs[0].key', 'branch/b');
  });

  it('executes 126 nested transactions at one revision, each with its own outcome', async () => {
    await write('nest/007', 'taken');
    const txns = Array.from({ length: 126 }, (_, i): Operation => {
      const key = `nest/${String(i).padStart(3, '0')}`;
      return {
        do: 'txn',
        txn: {
          compare: [{ test: 'absent', key }],
          success: [put(key, 'mine'), put(`index/${key}`, 'mine')],
          failure: [{ do: 'get', range: { key } }],
        },
      };
    });
    const { revision, results } = await kv.txn({ compare: [], success: txns });
    const outcomes = results.map((result) => (result.did === 'txn' ? result.result : undefined));
    expect(outcomes.filter((outcome) => outcome?.succeeded)).to.have.length(125);
    expect(outcomes[7]?.results[0]).to.have.nested.property('kvs[0].value', 'taken');
    expect(new Set(outcomes.map((outcome) => outcome?.revision))).to.deep.equal(new Set([revision]));
    const { kvs } = await kv.range({ prefix: 'index/nest/' });
    expect(new Set(kvs.map(({ createRevision }) => createRevision))).to.deep.equal(new Set([revision]));
  });

  it('calls a wrong transaction a bug, and executes none of it', async () => {
    const twice = await failure(kv.txn({ compare: [], success: [put('bug/a', '1'), put('bug/a', '2')] }));
    expect(twice).to.be.instanceOf(InternalError).with.property('message').that.includes('duplicate key');
    const many = Array.from({ length: 129 }, (_, i) => put(`bug/${i}`, ''));
    const tooMany = await failure(kv.txn({ compare: [], success: many }));
    expect(tooMany).to.be.instanceOf(InternalError).with.property('message').that.includes('too many');
    expect(await failure(write('', 'x'))).to.be.instanceOf(InternalError);
    expect(await holds({ test: 'rangeEmpty', prefix: 'bug/' })).to.equal(true);
  });

  it('deletes the keys of a TTL when it ends by time', async () => {
    const ttlId = await kv.ttlGrant(1);
    expect(ttlId).to.match(/^\d+$/);
    await kv.txn({ compare: [], success: [{ do: 'put', key: 'ttl/a', value: '', ttlId }] });
    expect(await kv.ttlKeepAlive(ttlId)).to.equal(1);
    const until = Date.now() + 6000;
    while ((await kv.range({ key: 'ttl/a' })).count > 0) {
      expect(Date.now()).to.be.below(until);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await kv.ttlKeepAlive(ttlId), 'gone').to.equal(0);
  });

  it('keeps the keys of a TTL that is kept alive, and ends it on request, twice', async () => {
    const ttlId = await kv.ttlGrant(2);
    await kv.txn({ compare: [], success: [{ do: 'put', key: 'ttl/b', value: '', ttlId }] });
    for (let i = 0; i < 6; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await kv.ttlKeepAlive(ttlId)).to.equal(2);
    }
    expect((await kv.range({ key: 'ttl/b' })).count).to.equal(1);
    await kv.ttlRevoke(ttlId);
    await kv.ttlRevoke(ttlId);
    expect((await kv.range({ key: 'ttl/b' })).count).to.equal(0);
    const onGone = kv.txn({ compare: [], success: [{ do: 'put', key: 'ttl/c', value: '', ttlId }] });
    expect(await failure(onGone)).to.be.instanceOf(NotFound);
  });

  it('tells version, size, leader and revision', async () => {
    const status = await kv.status();
    expect(status.version).to.match(/^3\.\d+\.\d+$/);
    expect(status.dbSizeBytes).to.be.above(0);
    expect(status.leader).to.match(/^[0-9a-f]{8,16}$/);
    expect(status.alarms).to.deep.equal([]);
    expect(status.revision).to.equal((await write('status', '')).revision - 1);
  });
});

async function failure(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}
