/** Limits that people set with plain etcdctl, as a host sees them: at once, and through everything that befalls etcd. */
import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import { OverrideBook } from '../../throttle/override-book.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { layout } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const EDITS = 20;

describe('throttle/override-book on a real etcd', function () {
  this.timeout(60_000);
  let etcd: EtcdProcess;
  let proxy: TcpProxy;
  let kv: EtcdKv;
  let book: OverrideBook;
  let told: string[][];

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    await etcdctl('del', '--prefix', layout.limits);
    proxy = await TcpProxy.start(etcd.clientPort);
    kv = new EtcdKv({ hosts: [proxy.host], timeoutMs: 1000 }, { logger, clock });
    book = new OverrideBook({ host: 'h1' }, { kv, layout, logger });
    told = [];
    book.onChange((names) => told.push([...names]));
  });
  afterEach(async () => {
    await book.close();
    kv.close();
    await proxy.stop();
  });

  const etcdctl = (...words: readonly string[]): Promise<string> =>
    runOk(['etcdctl', `--endpoints=${etcd.host}`, ...words], { env: { ETCDCTL_API: '3' } });
  const put = (path: string, value: string): Promise<string> =>
    etcdctl('put', `${layout.limits}${path}`, value);
  const rateIn = (name: string): number | undefined => book.of(name).in?.limit?.rateBitsPerSecond;

  it('is ready, and says so, also when nobody has set anything', async () => {
    expect(book.ready).to.equal(false);
    await book.load();
    expect(book.ready).to.equal(true);
    await until('it is told', () => told.length === 1);
    expect(told).to.deep.equal([[]]);
    expect(book.of('web')).to.deep.equal({});
  });

  it('sees what etcdctl puts within milliseconds', async () => {
    await book.load();
    const waits: number[] = [];
    for (let edit = 1; edit <= EDITS; edit += 1) {
      const seen = new Promise<number>((resolve) => {
        const end = book.onChange((names) => {
          if (names.includes('web') && rateIn('web') === edit * 1e6) {
            end();
            resolve(performance.now());
          }
        });
      });
      await put('name/web/in', `{"v":1,"rate":"${edit}mbit"}`);
      const returned = performance.now();
      waits.push((await seen) - returned);
    }
    const sorted = waits.sort((a, b) => a - b);
    console.log(
      `      seen after etcdctl has ended: median ${sorted[EDITS / 2]?.toFixed(1)} ms, most ${sorted.at(-1)?.toFixed(1)} ms`,
    );
    expect(told.flat()).to.include('web');
  });

  it("puts the host's own value before the one for all hosts, by direction, and passes over others'", async () => {
    await put('name/web/in', '{"v":1,"rate":"10mbit"}');
    await put('name/web/out', '{"v":1,"rate":"20mbit","burst":"64kb"}');
    await put('host/h1/web/in', '{"v":1,"rate":"none"}');
    await put('host/h2/web/out', '{"v":1,"rate":"30mbit"}');
    await book.load();
    const { in: inward, out } = book.of('web');
    expect(inward).to.have.all.keys('modRevision');
    expect(out?.limit).to.deep.equal({ rateBitsPerSecond: 20e6, burstBytes: 65536 });
    expect(book.list().map(({ host, direction }) => [host, direction])).to.deep.equal([
      ['h1', 'in'],
      [undefined, 'in'],
      [undefined, 'out'],
    ]);
    await etcdctl('del', `${layout.limits}host/h1/web/in`);
    await until('the other one holds', () => rateIn('web') === 10e6);
  });

  it('tells what cannot be read, and goes on', async () => {
    await put('name/web/in', '{"v":1,"rate":"10mbps"}');
    await put('name/web/sideways', 'x');
    await put('name/db/out', '{"v":1,"rate":"5mbit"}');
    await book.load();
    expect(book.of('web').in?.problem).to.match(/rate "10mbps" may mean bits or bytes/);
    expect(book.of('web').in?.limit).to.equal(undefined);
    expect(book.of('db').out?.limit).to.deep.equal({ rateBitsPerSecond: 5e6 });
    await put('host/h1/web/in', '\u0001 garbage');
    await put('name/web/in', '{"v":1,"rate":"10mbit"}');
    await until('the readable one holds', () => rateIn('web') === 10e6);
    expect(book.of('web').in?.problem).to.equal(undefined);
    expect(book.list().find(({ host }) => host === 'h1')?.override.problem).to.match(/is damaged/);
  });

  it('survives a cut watch, and learns what came meanwhile', async () => {
    await put('name/web/in', '{"v":1,"rate":"1mbit"}');
    await put('name/db/in', '{"v":1,"rate":"1mbit"}');
    await book.load();
    await proxy.refuse();
    await put('name/web/in', '{"v":1,"rate":"2mbit"}');
    await etcdctl('del', `${layout.limits}name/db/in`);
    expect(rateIn('web')).to.equal(1e6);
    told.length = 0;
    await proxy.listen();
    await until('both are known', () => rateIn('web') === 2e6 && rateIn('db') === undefined);
    await until('both are told', () => told.flat().includes('web') && told.flat().includes('db'));
  });

  it('survives a compaction of all that it has missed', async () => {
    await book.load();
    await proxy.refuse();
    for (const rate of ['1mbit', '2mbit', '3mbit']) await put('name/web/in', `{"v":1,"rate":"${rate}"}`);
    const reply: unknown = JSON.parse(await etcdctl('get', 'x', '-w', 'json'));
    const { revision } = (reply as { readonly header: { readonly revision: number } }).header;
    await etcdctl('compact', '--physical', String(revision));
    await proxy.listen();
    await until('it is known', () => rateIn('web') === 3e6);
    await put('name/web/in', '{"v":1,"rate":"4mbit"}');
    await until('the watch goes on', () => rateIn('web') === 4e6);
  });

  it('keeps what it knows while etcd is killed, and goes on when it is back', async () => {
    await put('name/web/in', '{"v":1,"rate":"1mbit"}');
    await book.load();
    await etcd.kill();
    expect(rateIn('web')).to.equal(1e6);
    expect(book.ready).to.equal(true);
    await etcd.restart();
    expect(rateIn('web')).to.equal(1e6);
    await put('name/web/in', '{"v":1,"rate":"2mbit"}');
    await until('the change is known', () => rateIn('web') === 2e6);
  });
});
