import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { type LogFields, type Logger, silentLogger } from '../../core/log.ts';
import { TtlBuckets } from '../../ipam/commit/ttl-buckets.ts';
import { HostForgetting } from '../../ipam/host/host-forgetting.ts';
import { HostSweeper } from '../../ipam/host/host-sweeper.ts';
import type { ForgetProgress } from '../../ipam/inventory.ts';
import { Fates } from '../../ipam/lease/afterwards.ts';
import { NO_POLICIES } from '../../ipam/lease/lease-policies.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import type { KvPort } from '../../store/kv.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { PlayedWorld, recordOf } from '../support/played-world.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { withCalls } from '../support/store-calls.ts';

const subnet = parseCidr('10.60.0.0/24');

describe('ipam/host-forgetting and host-sweeper on a real etcd', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let a: IpamHost;
  let b: IpamHost;
  let logged: { message: string; fields: LogFields | undefined }[];

  const logger: Logger = {
    ...silentLogger,
    warn: (message, fields) => logged.push({ message, fields }),
    info: (message, fields) => logged.push({ message, fields }),
  };

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    logged = [];
    a = await IpamHost.start({ etcd: etcd.host, name: 'a1' });
    b = await IpamHost.start({ etcd: etcd.host, name: 'b1' });
    for (const host of [a, b]) await host.pools.use(subnet, soon());
    await b.pools.reserve(subnet, parseIp('10.60.0.1'), 'gateway', soon());
  });
  afterEach(async () => {
    await a.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await a.stop();
    await b.stop();
  });

  const forgettingOf = (host: IpamHost, kv: KvPort = host.kv): HostForgetting => {
    const ttls = new TtlBuckets({ kv, clock });
    const fates = new Fates({ policies: NO_POLICIES, ttls, clock, logger });
    return new HostForgetting({ kv, layout, committer: host.committer, pools: host.pools, fates });
  };
  const sweeperOf = (host: IpamHost, graceSeconds: number): HostSweeper => {
    const { kv, committer, session } = host;
    const forgetting = forgettingOf(host);
    return new HostSweeper(
      { host: session.host, instance: session.instance, graceSeconds },
      { kv, layout, committer, forgetting, clock, logger },
    );
  };
  /** As when its machine is switched off, and its session's TTL has run out. */
  async function die(host: IpamHost): Promise<void> {
    await host.session.stop();
    host.committer.close();
  }
  const take = (host: IpamHost, ...addresses: string[]) =>
    Promise.all(addresses.map((text) => host.leases.takeThis(subnet, parseIp(text), soon())));
  const count = async (prefix: string): Promise<number> =>
    (await a.kv.range({ prefix }, { countOnly: true })).count;
  const stands = async (key: string): Promise<boolean> => (await count(key)) > 0;
  const refusal = async (work: Promise<unknown>): Promise<string> =>
    await work.then(
      () => expect.fail('it did not fail'),
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  async function forgetAll(forgetting: HostForgetting, host: string): Promise<ForgetProgress> {
    const sum = { leases: 0, holds: 0, uses: 0, done: false };
    while (!sum.done) {
      const part = await forgetting.forget(host, soon());
      sum.leases += part.leases;
      sum.holds += part.holds;
      sum.uses += part.uses;
      sum.done = part.done;
    }
    return sum;
  }

  it('frees all that a dead host has, and forgets its name', async () => {
    const many = Array.from({ length: 130 }, (_, i) => `10.60.0.${i + 10}`);
    await take(b, ...many);
    await take(a, '10.60.0.5');
    await die(b);
    const forgetting = forgettingOf(a);
    expect(await forgetting.survey('b1')).to.deep.equal({ host: 'b1', leases: 130, holds: 1, uses: 1 });
    expect(await forgetAll(forgetting, 'b1')).to.deep.equal({ leases: 130, holds: 1, uses: 1, done: true });
    expect(await count(layout.leases(subnet))).to.equal(1);
    expect(await count(layout.byHost('b1'))).to.equal(0);
    expect(await count(layout.holdsOfPool(subnet))).to.equal(0);
    expect(await stands(layout.use(subnet, 'b1'))).to.equal(false);
    expect(await stands(layout.use(subnet, 'a1'))).to.equal(true);
    expect(await stands(layout.host('b1'))).to.equal(false);
    expect(await refusal(forgetting.survey('b1'))).to.match(/there is no host "b1"/);
  });

  it('refuses a host that lives, an unknown one and names that are none', async () => {
    const forgetting = forgettingOf(a);
    await take(b, '10.60.0.10');
    const alive = /^host b1 is alive \(pid \d+ on b1\): stop its daemon first$/;
    expect(await refusal(forgetting.survey('b1'))).to.match(alive);
    expect(await refusal(forgetting.forget('b1', soon()))).to.match(alive);
    expect(await refusal(forgetting.survey('nobody'))).to.match(/there is no host "nobody"/);
    for (const name of ['', 'a/b', '..', 'b1/10.60.0.0-24', '\n'])
      expect(await refusal(forgetting.forget(name, soon()))).to.match(/is not the name of a host/);
    expect(await count(layout.byHost('b1'))).to.equal(1);
  });

  it('leaves what belongs to names to the names', async () => {
    const { kv, committer, session } = a;
    const reservations = new Reservations(
      { host: 'a1', instance: session.instance, bootId: 'boot' },
      { kv, layout, committer, clock },
    );
    await take(b, '10.60.0.10', '10.60.0.11');
    await reservations.reserve(undefined, '10.60.0.10', 'db', soon());
    await die(b);
    await forgetAll(forgettingOf(a), 'b1');
    const [kept, ...others] = (await a.kv.range({ prefix: layout.leases(subnet) })).kvs;
    expect(JSON.parse(kept?.value ?? '')).to.include({ state: 'reserved', role: 'operator', name: 'db' });
    expect(others).to.deep.equal([]);
    expect(await stands(layout.name(subnet, 'db'))).to.equal(true);
    expect(await count(layout.byHost('b1'))).to.equal(0);
  });

  it('stops when the host comes back in the middle', async () => {
    await take(b, ...Array.from({ length: 100 }, (_, i) => `10.60.0.${i + 10}`));
    await die(b);
    let back: IpamHost | undefined;
    // It returns after the first page was read and before its leases are freed.
    let pages = 0;
    const kv = withCalls(a.kv, {
      range: async (range, options) => {
        const found = await a.kv.range(range, options);
        if (options?.limit !== undefined) pages += 1;
        if (pages === 2 && back === undefined)
          back = await IpamHost.start({ etcd: etcd.host, name: 'b1', stateDir: b.stateDir });
        return found;
      },
    });
    const text = await refusal(forgettingOf(a, kv).forget('b1', soon()));
    expect(text).to.match(
      /^host b1 has come back \(pid \d+ on b1\): .*; 60 of its addresses were freed before$/,
    );
    expect(await count(layout.byHost('b1'))).to.equal(40);
    expect(back?.leases.list()).to.have.length(40);
    await back?.stop();
  });

  it("gets over an index entry that is not its lease's", async () => {
    await take(b, '10.60.0.10', '10.60.0.11');
    await take(a, '10.60.0.12');
    const foreign = layout.byHostLease('b1', subnet, parseIp('10.60.0.12'));
    const stale = layout.byHostLease('b1', subnet, parseIp('10.60.0.10'));
    const lease = (await a.kv.range({ key: layout.lease(subnet, parseIp('10.60.0.12')) })).kvs[0];
    const own = (await a.kv.range({ key: stale })).kvs[0];
    await a.kv.txn({
      compare: [],
      success: [
        { do: 'put', key: foreign, value: lease?.value ?? '' },
        { do: 'put', key: stale, value: own?.value ?? '' },
      ],
    });
    await die(b);
    expect(await forgetAll(forgettingOf(a), 'b1')).to.include({ leases: 2, done: true });
    expect(await count(layout.byHost('b1'))).to.equal(0);
    expect(await count(layout.leases(subnet))).to.equal(1);
    expect(await stands(layout.byHostLease('a1', subnet, parseIp('10.60.0.12')))).to.equal(true);
  });

  it('gives a host that returns what it still uses, and alarms where somebody else has it by now', async () => {
    const [mine, taken] = ['10.60.0.10', '10.60.0.11'];
    await take(b, mine, taken);
    await die(b);
    await forgetAll(forgettingOf(a), 'b1');
    await take(a, taken);

    const back = await IpamHost.start({ etcd: etcd.host, name: 'b1', stateDir: b.stateDir });
    const world = new PlayedWorld('10.60.0.0/24');
    try {
      expect(back.leases.list()).to.deep.equal([]);
      const { reconciler, endpoints } = await world.reconcilerOf(back);
      for (const [id, ipv4] of [
        ['aa', mine],
        ['bb', taken],
      ] as const) {
        await endpoints.put(id, recordOf(id, `${ipv4}/24`));
        world.shown.push({ endpointId: id, ipv4, containerId: 'c' });
      }
      await reconciler.run('test', { dryRun: false });
      expect(back.leases.list().map(({ address }) => formatIp(address))).to.deep.equal([mine]);
      const alarms = world.logged.filter(({ level }) => level === 'error');
      expect(alarms.map(({ address }) => address)).to.deep.equal([taken]);
      const [others] = (await a.kv.range({ key: layout.lease(subnet, parseIp(taken)) })).kvs;
      expect(JSON.parse(others?.value ?? '')).to.include({ host: 'a1' });
      expect(await stands(layout.host('b1'))).to.equal(true);
    } finally {
      await world.close();
      await back.stop();
    }
  });

  it('notices a dead host, waits for its grace period, and frees what it has', async () => {
    await take(b, '10.60.0.10');
    const [sweeper, other] = [sweeperOf(a, 2), sweeperOf(b, 2)];
    await sweeper.sweep();
    await other.sweep();
    expect(await stands(layout.dead('b1'))).to.equal(false);
    await die(b);
    await sweeper.sweep();
    expect(await stands(layout.dead('b1'))).to.equal(true);
    expect(await stands(layout.deadWait('b1'))).to.equal(true);
    expect((await forgettingOf(a).survey('b1')).deadSince).to.match(/^20/);
    await sweeper.sweep();
    expect(await count(layout.byHost('b1'))).to.equal(1);
    await until('the end of the grace period', async () => !(await stands(layout.deadWait('b1'))));
    await sweeper.sweep();
    expect(await count(layout.byHost('b1'))).to.equal(0);
    expect(await stands(layout.use(subnet, 'b1'))).to.equal(false);
    expect(await stands(layout.host('b1'))).to.equal(true);
    expect(await stands(layout.dead('b1'))).to.equal(false);
    expect(logged.map(({ message }) => message)).to.deep.equal([
      'a host holds addresses and has no daemon',
      'the grace period of a dead host is over, what it had was freed',
    ]);
    expect(logged[1]?.fields).to.include({ deadHost: 'b1', leases: 1, holds: 1, uses: 1 });
    await sweeper.close();
    expect(await stands(layout.sweeper)).to.equal(false);
  });

  it('frees nothing of a living host by a mark that came back with a backup of etcd', async () => {
    await take(b, '10.60.0.10');
    await die(b);
    const sweeper = sweeperOf(a, 1);
    await sweeper.sweep();
    await until('the end of the grace period', async () => !(await stands(layout.deadWait('b1'))));
    const [data, copy] = [join(etcd.folder, 'data'), join(etcd.folder, 'copy')];
    await etcd.kill();
    await cp(data, copy, { recursive: true });
    await etcd.restart();
    const back = await IpamHost.start({ etcd: etcd.host, name: 'b1', stateDir: b.stateDir, ttlSeconds: 6 });
    for (let i = 0; i < 50; i += 1) await back.session.bump(back.session.epoch ?? 0);
    await until('a look', async () => {
      await sweeper.sweep();
      return (await a.kv.range({ key: layout.sweeper })).count === 1;
    });
    await etcd.kill();
    await rm(data, { recursive: true });
    await cp(copy, data, { recursive: true });
    await etcd.restart();
    await until('etcd is back', async () => (await count(layout.prefix)) > 0);
    expect(await stands(layout.dead('b1'))).to.equal(true);
    await sweeper.sweep();
    expect(await count(layout.byHost('b1'))).to.equal(1);
    await until('the host has its session again', () => stands(layout.session('b1')));
    await sweeper.sweep();
    expect(await count(layout.byHost('b1'))).to.equal(1);
    await back.stop();
    await sweeper.close();
  });

  it('frees what other dead hosts have although a lease of one cannot be read', async () => {
    const c = await IpamHost.start({ etcd: etcd.host, name: 'c1' });
    await take(b, '10.60.0.10');
    await take(c, '10.60.0.11');
    for (const key of [layout.byHostLease('b1', subnet, parseIp('10.60.0.10'))])
      await a.kv.txn({ compare: [], success: [{ do: 'put', key, value: 'damaged' }] });
    await die(b);
    await die(c);
    const sweeper = sweeperOf(a, 1);
    await sweeper.sweep();
    await until('the end of the grace period', async () => !(await stands(layout.deadWait('c1'))));
    await sweeper.sweep();
    expect(await count(layout.byHost('c1'))).to.equal(0);
    expect(await count(layout.byHost('b1'))).to.equal(1);
    await c.stop();
    await sweeper.close();
  });

  it('begins anew when the host was back in between, and frees nothing of it', async () => {
    await take(b, '10.60.0.10');
    await die(b);
    const sweeper = sweeperOf(a, 600);
    await sweeper.sweep();
    expect(await stands(layout.deadWait('b1'))).to.equal(true);
    const back = await IpamHost.start({ etcd: etcd.host, name: 'b1', stateDir: b.stateDir });
    expect(await stands(layout.dead('b1'))).to.equal(false);
    expect(await stands(layout.deadWait('b1'))).to.equal(false);
    await sweeper.sweep();
    expect(await count(layout.byHost('b1'))).to.equal(1);
    await back.stop();
    await sweeper.close();
  });

  it('lets one daemon look, and another when that one is gone', async () => {
    const [first, second] = [sweeperOf(a, 600), sweeperOf(b, 600)];
    await first.sweep();
    await second.sweep();
    const [key] = (await a.kv.range({ key: layout.sweeper })).kvs;
    expect(JSON.parse(key?.value ?? '')).to.include({ host: 'a1' });
    await first.close();
    await second.sweep();
    const [next] = (await a.kv.range({ key: layout.sweeper })).kvs;
    expect(JSON.parse(next?.value ?? '')).to.include({ host: 'b1' });
    await second.close();
  });

  it('never looks without a grace period, and survives an etcd that is away', async () => {
    const sweeper = sweeperOf(a, 0);
    sweeper.start();
    await sweeper.close();
    await etcd.kill();
    try {
      await sweeperOf(a, 5).sweep();
    } finally {
      await etcd.restart();
    }
    expect(logged).to.deep.equal([]);
  });
});
