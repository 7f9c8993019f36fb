/**
 * Watches of `store/kv.ts` under faults: every event once and in order across cut connections, a frozen and a
 * restarted etcd; compaction is reported.
 */
import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { InternalError } from '../../core/errors.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import type { KeyRange, Operation, Watch, WatchEvent } from '../../store/kv.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** Everything that a watch reports, in order. */
class Recorder {
  readonly events: WatchEvent[] = [];
  readonly revisions: number[] = [];
  readonly marks: string[] = [];
  readonly watch: Watch;

  constructor(kv: EtcdKv, range: KeyRange, fromRevision: number) {
    this.watch = kv.watch(range, fromRevision, {
      onEvents: (events, revision) => {
        this.events.push(...events);
        this.revisions.push(revision);
      },
      onCompacted: (revision) => this.marks.push(`compacted ${revision}`),
      onConnected: () => this.marks.push('connected'),
      onDisconnected: () => this.marks.push('disconnected'),
    });
  }

  get keys(): string[] {
    return this.events.map(({ kv }) => kv.key);
  }

  count(mark: string): number {
    return this.marks.filter((each) => each === mark).length;
  }

  sees(events: number): Promise<unknown> {
    return until(`${events} events`, () => this.events.length >= events, { intervalMs: 10 });
  }
}

describe('store/etcd-watch', () => {
  let etcd: EtcdProcess;
  let proxy: TcpProxy;
  let direct: EtcdKv;
  let kv: EtcdKv;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    proxy = await TcpProxy.start(etcd.clientPort);
    direct = new EtcdKv({ hosts: [etcd.host], timeoutMs: 3000 });
  });
  beforeEach(() => {
    kv = new EtcdKv({ hosts: [proxy.host], timeoutMs: 500 });
  });
  afterEach(() => kv?.close());
  after(async () => {
    direct?.close();
    await proxy?.stop();
    await etcd?.stop();
  });

  const put = (key: string, value = ''): Operation => ({ do: 'put', key, value });
  const write = async (...success: Operation[]) => (await direct.txn({ compare: [], success })).revision;
  /** One revision each. @returns the first */
  const writeMany = async (prefix: string, count: number): Promise<number> => {
    const first = await write(put(`${prefix}${numbered(0)}`));
    for (let i = 1; i < count; i += 50) {
      const keys = Array.from({ length: Math.min(50, count - i) }, (_, j) => `${prefix}${numbered(i + j)}`);
      await Promise.all(keys.map((key) => write(put(key, 'x'.repeat(50)))));
    }
    return first;
  };
  const compact = (revision: number) =>
    execFileSync('etcdctl', [`--endpoints=${etcd.host}`, 'compact', String(revision)], {
      env: { ...process.env, ETCDCTL_API: '3' },
      stdio: 'pipe',
    });

  it('delivers what was and what comes: puts and deletions, with their revisions', async () => {
    const first = await write(put('w/a', '1'), put('other', 'x'));
    const seen = new Recorder(kv, { prefix: 'w/' }, first);
    await seen.sees(1);
    const second = await write(put('w/a', '2'), put('w/b', '1'));
    const third = await write({ do: 'delete', range: { key: 'w/a' } });
    await seen.sees(4);
    expect(seen.events).to.deep.equal([
      { type: 'put', kv: { key: 'w/a', value: '1', createRevision: first, modRevision: first } },
      { type: 'put', kv: { key: 'w/a', value: '2', createRevision: first, modRevision: second } },
      { type: 'put', kv: { key: 'w/b', value: '1', createRevision: second, modRevision: second } },
      { type: 'delete', kv: { key: 'w/a', value: '', createRevision: 0, modRevision: third } },
    ]);
    expect(seen.revisions.at(-1)).to.equal(third);
    await seen.watch.close();
    await write(put('w/a', '3'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen.events, 'after close').to.have.length(4);
    expect(seen.marks).to.deep.equal(['connected']);
  });

  it('loses and doubles nothing when it is cut while it catches up on 5,000 events', async () => {
    const count = 5000;
    const first = await writeMany('catch-up/', count);
    for (const afterBytes of [20_000, 150_000, 300_000]) {
      proxy.cutAfter(afterBytes);
      const seen = new Recorder(kv, { prefix: 'catch-up/' }, first);
      await seen.sees(count);
      expect(seen.events).to.have.length(count);
      expectOrdered(seen);
      expect(new Set(seen.keys).size).to.equal(count);
      expect(seen.count('disconnected'), `cut after ${afterBytes} bytes`).to.equal(1);
      await seen.watch.close();
    }
  });

  it('loses and doubles nothing when it is cut again and again while events come', async () => {
    const seen = new Recorder(kv, { prefix: 'live/' }, await write(put('live/first')));
    await seen.sees(1);
    for (let i = 0; i < 10; i += 1) {
      await writeMany(`live/${i}/`, 50);
      proxy.cut();
      await writeMany(`live/${i}b/`, 50);
    }
    await seen.sees(1001);
    expect(seen.events).to.have.length(1001);
    expect(new Set(seen.keys).size).to.equal(1001);
    expectOrdered(seen);
  });

  it('reports compaction, then ends; a new list and watch go on from there', async () => {
    const seen = new Recorder(kv, { prefix: 'compact/' }, await write(put('compact/a', '1')));
    await seen.sees(1);
    await proxy.refuse();
    await until('the cut', () => seen.count('disconnected') === 1);
    await write(put('compact/a', '2'));
    compact(await write(put('compact/a', '3')));
    await proxy.listen();
    await until('the report', () => seen.marks.some((mark) => mark.startsWith('compacted ')));
    await seen.watch.close();
    expect(seen.events, 'no event of a broken history').to.have.length(1);
    const list = await kv.range({ prefix: 'compact/' });
    expect(list.kvs[0]?.value).to.equal('3');
    const anew = new Recorder(kv, { prefix: 'compact/' }, list.revision + 1);
    await write(put('compact/a', '4'));
    await anew.sees(1);
    expect(anew.events[0]?.kv.value).to.equal('4');
    expect(seen.marks.filter((mark) => mark.startsWith('compacted '))).to.have.length(1);
  });

  it('goes on within a second after etcd was killed and started', async () => {
    const seen = new Recorder(kv, { prefix: 'restart/' }, await write(put('restart/a')));
    await seen.sees(1);
    await etcd.kill();
    await until('the cut', () => seen.count('disconnected') === 1);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await etcd.restart();
    const startedAt = performance.now();
    await write(put('restart/b'));
    await seen.sees(2);
    expect(performance.now() - startedAt).to.be.below(1000);
    expect(seen.keys).to.deep.equal(['restart/a', 'restart/b']);
    expect(seen.count('disconnected'), 'reported once').to.equal(1);
  });

  it('notices a frozen etcd by the unanswered calls of others, and resumes', async () => {
    const seen = new Recorder(kv, { prefix: 'frozen/' }, await write(put('frozen/a')));
    await seen.sees(1);
    etcd.freeze();
    await kv.status().catch(() => {});
    await until('the cut', () => seen.count('disconnected') === 1, { timeoutMs: 300 });
    etcd.thaw();
    await write(put('frozen/b'));
    await seen.sees(2);
    expect(seen.keys).to.deep.equal(['frozen/a', 'frozen/b']);
  });

  it('notices a frozen etcd by itself within ten seconds', async () => {
    const seen = new Recorder(kv, { prefix: 'quiet/' }, await write(put('quiet/a')));
    await seen.sees(1);
    etcd.freeze();
    try {
      await until('the cut', () => seen.count('disconnected') === 1, { timeoutMs: 10_000 });
    } finally {
      etcd.thaw();
    }
    await write(put('quiet/b'));
    await seen.sees(2);
  });

  it('survives handlers that throw', async () => {
    const keys: string[] = [];
    const watch = kv.watch({ prefix: 'throw/' }, await write(put('throw/a')), {
      onEvents: (events) => {
        keys.push(...events.map((event) => event.kv.key));
        throw new Error('a bug of the caller');
      },
      onCompacted: () => {},
    });
    await until('the first', () => keys.length === 1);
    await write(put('throw/b'));
    await until('the second', () => keys.length === 2);
    await watch.close();
    expect(keys).to.deep.equal(['throw/a', 'throw/b']);
  });

  it('closes quickly whatever its state, and refuses to start at no revision', async () => {
    await proxy.refuse();
    const seen = new Recorder(kv, { prefix: 'x/' }, 1);
    await until('the failure', () => seen.count('disconnected') === 1);
    const startedAt = performance.now();
    await seen.watch.close();
    expect(performance.now() - startedAt).to.be.below(700);
    await proxy.listen();
    expect(() => new Recorder(kv, { prefix: 'x/' }, 0)).to.throw(InternalError);
  });
});

function numbered(i: number): string {
  return String(i).padStart(5, '0');
}

function expectOrdered(seen: Recorder): void {
  const revisions = seen.events.map(({ kv }) => kv.modRevision);
  expect(revisions).to.deep.equal([...revisions].sort((a, b) => a - b));
}
