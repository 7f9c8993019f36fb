import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { deadlineAfter } from '../../../core/deadline.ts';
import { StoreUnavailable } from '../../../core/errors.ts';
import { parseCidr } from '../../../core/ip.ts';
import { silentLogger } from '../../../core/log.ts';
import { PoolBook } from '../../../ipam/pool/pool-book.ts';
import type { KeyValue, KvPort, WatchHandlers } from '../../../store/kv.ts';
import { layoutOf } from '../../../store/layout.ts';
import type { PoolValue } from '../../../store/schema.ts';
import { until } from '../../support/poll.ts';

const layout = layoutOf('/l/');
const SUBNET = parseCidr('10.0.0.0/24');
const poolOf = (quotaPerHost: number): PoolValue => ({
  v: 1,
  subnet: '10.0.0.0/24',
  madeBy: 'h',
  at: 0,
  name: 'prod',
  quotaPerHost,
});
const kvOf = (quota: number, modRevision: number): KeyValue => ({
  key: layout.pool(SUBNET),
  value: JSON.stringify(poolOf(quota)),
  createRevision: 1,
  modRevision,
});

/** A store whose listing and events the test decides: etcd cannot be made to lose or to hurry at will. */
class PlayedStore {
  kvs: KeyValue[] = [];
  revision = 10;
  away = false;
  watches: { from: number; handlers: WatchHandlers; closed: boolean }[] = [];
  lists = 0;

  get port(): KvPort {
    return {
      range: async (range: { prefix?: string }) => {
        if (this.away) throw new StoreUnavailable('away');
        if (range.prefix !== undefined) this.lists += 1;
        return { revision: this.revision, kvs: this.kvs, count: this.kvs.length };
      },
      watch: (_range: unknown, from: number, handlers: WatchHandlers) => {
        const watch = { from, handlers, closed: false };
        this.watches.push(watch);
        return {
          close: async () => {
            watch.closed = true;
          },
        };
      },
    } as unknown as KvPort;
  }

  get handlers(): WatchHandlers {
    const last = this.watches.at(-1);
    if (last === undefined) throw new Error('nothing is watched');
    return last.handlers;
  }
}

describe('ipam/pool-book', () => {
  let store: PlayedStore;
  let book: PoolBook;
  const soon = (timeoutMs = 1000) => deadlineAfter(timeoutMs, systemClock);

  beforeEach(() => {
    store = new PlayedStore();
    book = new PoolBook({ coolingSeconds: 30 }, { kv: store.port, layout, logger: silentLogger });
  });
  afterEach(() => book.close());

  it('lists, watches from the next revision on, and follows', async () => {
    store.kvs = [kvOf(1, 5)];
    await book.load();
    expect(store.watches.map(({ from }) => from)).to.deep.equal([11]);
    expect([book.quotaPerHost(SUBNET), book.coolingSeconds(SUBNET)]).to.deep.equal([1, 30]);
    store.handlers.onEvents([{ type: 'put', kv: kvOf(2, 12) }], 12);
    expect([book.quotaPerHost(SUBNET), book.revision]).to.deep.equal([2, 12]);
    const gone = { ...kvOf(0, 13), value: '', createRevision: 0 };
    store.handlers.onEvents([{ type: 'delete', kv: gone }], 13);
    expect([book.get(SUBNET), book.byName('prod'), book.list()]).to.deep.equal([undefined, undefined, []]);
  });

  it('knows what this host has written before the watch tells, and is not set back by older events', async () => {
    await book.load();
    book.note(SUBNET, poolOf(5), 15);
    store.handlers.onEvents([{ type: 'put', kv: kvOf(4, 14) }], 14);
    expect(book.quotaPerHost(SUBNET)).to.equal(5);
    store.handlers.onEvents([{ type: 'put', kv: kvOf(5, 15) }], 15);
    store.handlers.onEvents([{ type: 'put', kv: kvOf(6, 16) }], 16);
    expect(book.quotaPerHost(SUBNET)).to.equal(6);
  });

  it('lets who asks before the first listing wait, but not longer than it may', async () => {
    store.away = true;
    await book.load().catch(() => {});
    const early = book.find(SUBNET, soon(30)).catch((error: Error) => error.message);
    expect(await early).to.match(/^etcd does not answer, and pool 10\.0\.0\.0\/24 was not read before/);
    const patient = book.find(SUBNET, soon());
    store.away = false;
    store.kvs = [kvOf(1, 5)];
    await book.load();
    expect((await patient)?.quotaPerHost).to.equal(1);
  });

  it('reads a pool that it does not know once', async () => {
    await book.load();
    expect(await book.find(SUBNET, soon())).to.equal(undefined);
    store.kvs = [kvOf(3, 12)];
    expect((await book.find(SUBNET, soon()))?.quotaPerHost).to.equal(3);
    store.away = true;
    expect((await book.find(SUBNET, soon()))?.quotaPerHost).to.equal(3);
  });

  it('is stale while the watch is cut, stands by what it knows, and lists anew afterwards', async () => {
    store.kvs = [kvOf(1, 5)];
    await book.load();
    store.away = true;
    store.handlers.onDisconnected?.(new Error('cut'));
    expect([book.stale, book.quotaPerHost(SUBNET)]).to.deep.equal([true, 1]);
    store.handlers.onConnected?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(book.stale).to.equal(true);
    store.away = false;
    store.revision = 20;
    store.kvs = [kvOf(9, 18)];
    await until('it is listed', () => book.quotaPerHost(SUBNET) === 9);
    expect([book.stale, store.watches.at(-1)?.from, store.watches[0]?.closed]).to.deep.equal([
      false,
      21,
      true,
    ]);
  });

  it('lists anew after a compaction', async () => {
    await book.load();
    store.kvs = [kvOf(2, 30)];
    store.revision = 30;
    store.handlers.onCompacted(25);
    await until('it is listed', () => book.quotaPerHost(SUBNET) === 2);
    expect(store.lists).to.equal(2);
  });

  it('believes an etcd that went back, but keeps what was written since a listing', async () => {
    store.revision = 100;
    store.kvs = [kvOf(1, 90)];
    await book.load();
    book.note(parseCidr('10.1.0.0/24'), { ...poolOf(1), subnet: '10.1.0.0/24' }, 105);
    store.revision = 101;
    store.handlers.onCompacted(100);
    await until('it is listed', () => store.lists === 2 && store.watches.length === 2);
    expect(book.list()).to.have.length(2);
    store.revision = 50;
    store.kvs = [kvOf(7, 40)];
    store.handlers.onCompacted(1);
    await until('it is listed', () => book.quotaPerHost(SUBNET) === 7);
    expect(book.list()).to.have.length(1);
  });

  it('leaves out a pool that cannot be read, and names it to who needs it', async () => {
    store.kvs = [{ ...kvOf(1, 5), value: '{}' }];
    await book.load();
    expect(book.list()).to.deep.equal([]);
    const refused = await book.find(SUBNET, soon()).catch((error: Error) => error.message);
    expect(refused).to.match(/^pool 10\.0\.0\.0\/24 cannot be read: its value in etcd is damaged/);
  });
});
