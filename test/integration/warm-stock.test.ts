import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import { decode, leaseSchema } from '../../store/schema.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, type IpamHostOptions, layout, soon } from '../support/ipam-host.ts';
import { PlayedWorld, recordOf } from '../support/played-world.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.50.0.0/24');
/** 14 addresses, of which one is the gateway. */
const small = parseCidr('10.51.0.0/28');

describe('ipam/warm-stock on a real etcd', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let hosts: IpamHost[];
  let world: PlayedWorld;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());
  beforeEach(() => {
    hosts = [];
    world = new PlayedWorld('10.50.0.0/24');
  });
  afterEach(async () => {
    await world.close();
    const [last] = hosts;
    await last?.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    for (const host of hosts) await host.stop();
  });

  async function start(warm?: IpamHostOptions['warm'], more: Partial<IpamHostOptions> = {}) {
    const given = warm === undefined ? {} : { warm };
    const host = await IpamHost.start({ etcd: etcd.host, name: 'w1', ...given, ...more });
    hosts.push(host);
    const poolOf = async (cidr = subnet): Promise<string> =>
      (await host.addresses.requestPool({ subnet: cidr, family: 4, options: {} }, soon())).poolId;
    return { host, poolOf };
  }
  const any = async (host: IpamHost, poolId: string, timeoutMs = 4000): Promise<IpAddress> =>
    (await host.addresses.requestAddress({ poolId, gateway: false }, soon(timeoutMs))).address;
  const refusal = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => expect.fail('it did not fail'),
      (error: Error) => error.message,
    );
  /** States of the leases in etcd, sorted. */
  const states = async (host: IpamHost, cidr = subnet): Promise<string[]> => {
    const { kvs } = await host.kv.range({ prefix: layout.leases(cidr) });
    return kvs.map(({ key, value }) => decode(leaseSchema, key, value).state).sort();
  };
  const count = async (host: IpamHost, state: string, cidr = subnet): Promise<number> =>
    (await states(host, cidr)).filter((one) => one === state).length;
  const filled = (host: IpamHost, size: number) =>
    until(`${size} in stock`, () => host.warmStock?.size === size);

  it('answers from memory, binds behind the answer, and fills up again', async () => {
    const { host, poolOf } = await start({ size: 4 });
    const poolId = await poolOf();
    await any(host, poolId);
    await filled(host, 4);
    expect(await count(host, 'warm')).to.equal(4);
    const before = clock.now();
    const taken = await any(host, poolId);
    expect(clock.now() - before, 'no round trip').to.be.below(10);
    expect(host.leases.get(subnet, taken)?.value.state).to.equal('warm');
    await until('bound behind it', async () => (await count(host, 'pending')) === 2);
    await filled(host, 4);
    expect(await count(host, 'warm')).to.equal(4);
    const many = await Promise.all(Array.from({ length: 40 }, () => any(host, poolId)));
    expect(new Set([...many, taken].map(formatIp)).size).to.equal(41);
  });

  it('goes on while etcd is away, as long as the stock lasts, and takes releases meanwhile', async () => {
    const { host, poolOf } = await start({ size: 3 });
    const poolId = await poolOf();
    const first = await any(host, poolId);
    await filled(host, 3);
    etcd.freeze();
    let answered: IpAddress[] = [];
    try {
      answered = [await any(host, poolId, 500), await any(host, poolId, 500), await any(host, poolId, 500)];
      expect(await refusal(any(host, poolId, 500))).to.match(/etcd/);
      await host.addresses.releaseAddress(poolId, answered[0] ?? first, soon());
    } finally {
      etcd.thaw();
    }
    expect(new Set([first, ...answered].map(formatIp)).size).to.equal(4);
    await until('three are in use, one is free', async () => (await count(host, 'pending')) === 3);
    await filled(host, 3);
  });

  it('does not bring a lease back that was released before it was bound', async () => {
    const { host, poolOf } = await start({ size: 2 });
    const poolId = await poolOf();
    await any(host, poolId);
    await filled(host, 2);
    const taken = await any(host, poolId);
    await host.addresses.releaseAddress(poolId, taken, soon());
    await filled(host, 2);
    expect(host.leases.get(subnet, taken)?.value.state).to.be.oneOf([undefined, 'warm']);
    expect(await count(host, 'pending')).to.equal(1);
  });

  it('gives the stock back when nobody asks any more, and when it ends', async () => {
    const { host, poolOf } = await start({ size: 4, idleMs: 1500 });
    const poolId = await poolOf();
    await any(host, poolId);
    await filled(host, 4);
    await until('given back', async () => (await count(host, 'warm')) === 0);
    await any(host, poolId);
    await filled(host, 4);
    await host.warmStock?.close();
    expect(await count(host, 'warm')).to.equal(0);
    expect(host.leases.list()).to.have.length(2);
  });

  it('keeps a tenth of what is free, and nothing of a pool that is short', async () => {
    const { host, poolOf } = await start({ size: 8, checkMs: 200 });
    const { host: other, poolOf: otherPoolOf } = await start(undefined, { name: 'w2' });
    const [poolId, otherId] = [await poolOf(), await otherPoolOf()];
    await any(host, poolId);
    await filled(host, 8);
    await Promise.all(Array.from({ length: 221 }, () => any(other, otherId)));
    await until('given back', async () => (await count(host, 'warm')) === 0);
    await any(host, poolId);
    expect(host.warmStock?.size).to.equal(0);
  });

  it('never refuses a request for its own stock: not the last address, not one by name', async () => {
    const { host, poolOf } = await start({ size: 8 });
    const { host: other, poolOf: otherPoolOf } = await start(undefined, { name: 'w2' });
    const [poolId, otherId] = [await poolOf(small), await otherPoolOf(small)];
    await any(host, poolId);
    await filled(host, 1);
    const [stocked] = host.leases.list().filter(({ value }) => value.state === 'warm');
    const address = stocked?.address ?? parseIp('0.0.0.0');
    expect(await refusal(other.leases.takeThis(small, address, soon()))).to.match(/w1 has it in stock/);
    await host.addresses.attachNetwork({ networkId: 'n', subnets: [{ subnet: small }] });
    await host.addresses.requestAddress({ poolId, gateway: false, address }, soon());
    const taken = [address];
    for (;;) {
      const answer = await any(host, poolId).catch(() => undefined);
      if (answer === undefined) break;
      taken.push(answer);
    }
    expect(taken, 'all but the first').to.have.length(13);
    expect(await refusal(any(other, otherId))).to.match(/exhausted/);
    expect(await count(host, 'warm', small)).to.equal(0);
  });

  it('shares a nearly full pool with another host that has a stock, to the last address', async () => {
    const warm = { size: 8, checkMs: 100 };
    const pair = [await start(warm), await start(warm, { name: 'w2' })];
    const asking = await Promise.all(
      pair.map(async ({ host, poolOf }) => ({ host, poolId: await poolOf() })),
    );
    const taken: string[] = [];
    const end = clock.now() + 15_000;
    while (taken.length < 254 && clock.now() < end) {
      await Promise.all(
        asking.map(async ({ host, poolId }) => {
          const address = await any(host, poolId, 1000).catch(() => undefined);
          if (address !== undefined) taken.push(formatIp(address));
        }),
      );
    }
    expect(taken).to.have.length(254);
    expect(new Set(taken).size).to.equal(254);
  });

  it('forgets the stock when etcd may have given it to others', async () => {
    const { host, poolOf } = await start({ size: 3 });
    const poolId = await poolOf();
    await any(host, poolId);
    await filled(host, 3);
    const { reconciler } = await world.reconcilerOf(host);
    const kept = await reconciler.run('test', { dryRun: true });
    const inStock = (decisions: typeof kept.decisions) =>
      decisions.filter(({ reason }) => /in stock for the next/.test(reason)).length;
    expect(inStock(kept.decisions)).to.equal(3);
    host.warmStock?.forget();
    expect(host.warmStock?.size).to.equal(0);
    await reconciler.run('test', { dryRun: false });
    expect(await count(host, 'warm')).to.equal(0);
  });

  describe('after a crash', () => {
    /** A stock of three, of which the first was answered just before the crash. */
    async function crashed() {
      const { host, poolOf } = await start({ size: 3 });
      const poolId = await poolOf();
      await host.leases.release(subnet, await any(host, poolId));
      await filled(host, 3);
      etcd.freeze();
      const answered = await any(host, poolId, 500);
      host.abandon();
      etcd.thaw();
      hosts.shift();
      const { host: next } = await start(undefined, { stateDir: host.stateDir });
      expect(await states(next)).to.deep.equal(['warm', 'warm', 'warm']);
      return { next, answered };
    }

    it('keeps the stock of the earlier process for a time of grace, then frees it', async () => {
      const { next } = await crashed();
      const soonAfter = await world.reconcilerOf(next, { startedAgoMs: 1000 });
      const { decisions } = await soonAfter.reconciler.run('test', { dryRun: false });
      const leases = decisions.filter(({ kind }) => kind === 'lease');
      expect(leases.map(({ action }) => action)).to.deep.equal(['wait', 'wait', 'wait']);
      expect(await count(next, 'warm')).to.equal(3);
      const later = await world.reconcilerOf(next, { startedAgoMs: 61_000 });
      await later.reconciler.run('test', { dryRun: false });
      expect(await states(next)).to.deep.equal([]);
    });

    it('binds the one that a living container has, and never frees it', async () => {
      const { next, answered } = await crashed();
      const ip = formatIp(answered);
      const { reconciler, endpoints } = await world.reconcilerOf(next, { startedAgoMs: 61_000 });
      await endpoints.put('e', recordOf('e', `${ip}/24`));
      world.shown.push({ endpointId: 'e', ipv4: ip, containerId: 'c' });
      await reconciler.run('test', { dryRun: false });
      await until('bound', async () => (await states(next)).join() === 'bound');
      expect(next.leases.list().map(({ address }) => formatIp(address))).to.deep.equal([ip]);
      expect((await next.leases.read())[0]?.value).to.include({ endpointId: 'e', containerName: 'web' });
    });

    it('lets the engine go on with what it was given', async () => {
      const { next, answered } = await crashed();
      await next.addresses.confirmLease(subnet, answered, 'e', deadlineAfter(2000, clock));
      const holder = { endpointId: 'e', networkId: 'n', macAddress: '02:4c:0a:32:00:01' };
      next.addresses.noteHolder(subnet, answered, holder);
      await until('bound', async () => (await count(next, 'bound')) === 1);
    });
  });
});
