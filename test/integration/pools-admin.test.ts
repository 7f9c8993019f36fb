import { expect } from 'chai';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { any, failure, network, release } from '../support/pool-words.ts';
import { suiteHosts } from '../support/suite-hosts.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

describe('ipam/pool-admin and pool-book on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts({ empty: true });

  const keys = async (host: IpamHost, prefix: string) => (await host.kv.range({ prefix })).count;
  const seen = (host: IpamHost, subnet: string) => host.book.get(parseCidr(subnet));

  it('tells a change to the other hosts within a second', async () => {
    const [one, two] = [await hosts.start('b1'), await hosts.start('b2')];
    await one.poolAdmin.add('told', '10.22.0.0/24', {});
    await until('the other host knows', () => two.book.byName('told') !== undefined, { timeoutMs: 1000 });
    await one.poolAdmin.set('told', { quota: '7', cooling: '0s' });
    expect(one.book.quotaPerHost(parseCidr('10.22.0.0/24'))).to.equal(7);
    await until('the other host knows', () => two.book.quotaPerHost(parseCidr('10.22.0.0/24')) === 7, {
      timeoutMs: 1000,
    });
    expect([two.book.stale, two.book.revision > 0]).to.deep.equal([false, true]);
    await two.poolAdmin.remove('told');
    await until('the other host knows', () => one.book.byName('told') === undefined, { timeoutMs: 1000 });
  });

  it('gives the gateway of a pool to no container, and takes no address of a container for it', async () => {
    const host = await hosts.start('g1');
    await host.poolAdmin.add('gate', '10.33.0.0/24', { gateway: '10.33.0.1' });
    const poolId = await network(host, { pool: 'gate' });
    const ask = (address: string) =>
      host.addresses.requestAddress({ poolId, gateway: false, address: parseIp(address) }, soon());
    await ask('10.33.0.7');
    expect(await failure(host.poolAdmin.set('gate', { gateway: '10.33.0.7' }))).to.match(
      /^address 10\.33\.0\.7 cannot be the gateway of pool gate: a container on host g1 has it: choose another, or remove that first$/,
    );
    await host.poolAdmin.set('gate', { gateway: '10.33.0.254' });
    expect(await failure(ask('10.33.0.254'))).to.equal(
      'address 10.33.0.254 is the gateway of pool gate: choose another one',
    );
  });

  it('refuses a second pool of a name, an overlap, and other settings, but not the same again', async () => {
    const [one, two] = [await hosts.start('h1'), await hosts.start('h2')];
    const both = await Promise.allSettled([
      one.poolAdmin.add('same', '10.28.0.0/24', {}),
      two.poolAdmin.add('same', '10.28.1.0/24', {}),
    ]);
    expect(both.map(({ status }) => status).toSorted()).to.deep.equal(['fulfilled', 'rejected']);
    const subnet = seen(one, '10.28.0.0/24') === undefined ? '10.28.1.0/24' : '10.28.0.0/24';
    expect((await two.poolAdmin.add('same', subnet, {})).changed).to.equal(false);
    expect(await failure(two.poolAdmin.add('same', '10.28.9.0/24', {}))).to.match(
      /^pool same is 10\.28\.[01]\.0\/24, not 10\.28\.9\.0\/24: choose another name$/,
    );
    expect(await failure(two.poolAdmin.add('same', subnet, { quota: '1' }))).to.match(/with other settings/);
    expect(await failure(two.poolAdmin.add('twin', subnet, {}))).to.match(/is pool same already/);
    expect(await failure(two.poolAdmin.add('wide', '10.28.0.0/16', {}))).to.match(
      /^subnet 10\.28\.0\.0\/16 overlaps pool same \(10\.28\.[01]\.0\/24\): choose a subnet beside it$/,
    );
    expect(await failure(network(one, {}, '10.28.0.0/16'))).to.match(/overlaps pool same \(10\.28/);
    expect(await failure(one.poolAdmin.set('nobody', { quota: '1' }))).to.match(/there is no pool "nobody"/);
  });

  it('takes over a pool that a network has made, with its gateway, and then keeps it', async () => {
    const host = await hosts.start('i1');
    const subnet = parseCidr('10.29.0.0/24');
    const { poolId } = await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    const gateway = parseIp('10.29.0.254');
    await host.addresses.requestAddress({ poolId, gateway: true, address: gateway }, soon());
    expect(await failure(host.poolAdmin.set('10.29.0.0/24', { quota: '1' }))).to.match(
      /was made by docker network create and has no settings: to manage it, adopt it with lanius pool add/,
    );
    expect(await failure(host.poolAdmin.add('mine', '10.29.0.0/24', { vlan: '5' }))).to.match(
      /pool 10\.29\.0\.0\/24 has networks on 1 host \(i1\), so its VLAN cannot be set/,
    );
    const { pool } = await host.poolAdmin.add('mine', '10.29.0.0/24', { quota: '5' });
    expect(pool).to.include({ name: 'mine', gateway: '10.29.0.254', quotaPerHost: 5 });
    expect(await failure(host.poolAdmin.set('mine', { vlan: '5' }))).to.match(/its VLAN cannot change/);
    expect(await failure(host.poolAdmin.remove('mine'))).to.match(
      /^pool mine has networks on 1 host \(i1\), so it cannot be removed: remove them there first/,
    );
    await host.addresses.releasePool(poolId, soon());
    await host.claimBook.sweep(soon());
    expect(await keys(host, layout.pool(subnet))).to.equal(1);
    await host.poolAdmin.set('mine', { vlan: '5' });
    const again = await network(host, { pool: 'mine' });
    expect(await any(host, again)).to.not.equal('10.29.0.254');
    expect(await host.addresses.poolSettings(subnet, soon())).to.deep.equal({ title: 'mine', vlan: 5 });
  });

  it('does not remove a pool with leases, and names their hosts', async () => {
    const host = await hosts.start('j1');
    await host.poolAdmin.add('busy', '10.30.0.0/24', {});
    const poolId = await network(host, { pool: 'busy' });
    const address = await any(host, poolId);
    await host.addresses.releasePool(poolId, soon());
    expect(await failure(host.poolAdmin.remove('busy'))).to.match(
      /^pool busy has 1 lease \(j1: 1\) and 0 reservations, so it cannot be removed/,
    );
    await release(host, poolId, address);
    await host.poolAdmin.remove('busy');
    expect(await keys(host, layout.pool(parseCidr('10.30.0.0/24')))).to.equal(0);
    expect(await failure(host.poolAdmin.show('busy'))).to.match(/there is no pool "busy"/);
  });

  it('takes an unmanaged pool away with its kept addresses and cooling marks, but not what an operator reserved', async () => {
    const host = await hosts.start('k1');
    const subnet = parseCidr('10.31.0.0/24');
    const reserved = { v: 1, state: 'reserved', name: 'web', host: 'k1', request: 'x', bootId: 'b', at: 0 };
    const put = async (key: string, value: object) => {
      await host.kv.txn({ compare: [], success: [{ do: 'put', key, value: JSON.stringify(value) }] });
    };
    const kept = layout.lease(subnet, parseIp('10.31.0.7'));
    const prepare = async () => {
      const poolId = await network(host, {}, '10.31.0.0/24');
      await put(kept, { ...reserved, role: 'sticky' });
      await put(layout.name(subnet, 'web'), { v: 1, address: '10.31.0.7' });
      await put(layout.cooling(subnet, parseIp('10.31.0.8')), { v: 1 });
      return poolId;
    };
    await host.addresses.releasePool(await prepare(), soon());
    for (const prefix of [
      layout.pool(subnet),
      layout.leases(subnet),
      layout.names(subnet),
      layout.coolings(subnet),
    ])
      expect(await keys(host, prefix), prefix).to.equal(0);
    expect(seen(host, '10.31.0.0/24')).to.equal(undefined);

    const poolId = await prepare();
    await put(layout.lease(subnet, parseIp('10.31.0.9')), { ...reserved, role: 'operator' });
    await host.addresses.releasePool(poolId, soon());
    expect(await keys(host, layout.pool(subnet))).to.equal(1);
    expect(await keys(host, layout.leases(subnet))).to.equal(2);
  });

  it('stands by what it knows while etcd is away, says that it is old, and reads anew afterwards', async () => {
    const proxy = await TcpProxy.start(hosts.etcd.clientPort);
    const far = await hosts.start('n1', { etcd: proxy.host });
    const near = await hosts.start('n2');
    await near.poolAdmin.add('away', '10.34.0.0/24', { vlan: '7', macPrefix: '06:01' });
    await until('the host knows', () => far.book.byName('away') !== undefined);
    await proxy.refuse();
    await until('the book is stale', () => far.book.stale);
    const settings = await far.addresses.poolSettings(parseCidr('10.34.0.0/24'), soon(200));
    expect(settings).to.deep.equal({ title: 'away', vlan: 7, macPrefix: { bytes: [6, 1] } });
    const began = performance.now();
    const asked = far.addresses.poolSettings(parseCidr('10.35.0.0/24'), soon(300));
    expect(await failure(asked)).to.match(/etcd/);
    expect(performance.now() - began).to.be.below(1500);
    expect(await failure(far.poolAdmin.set('away', { quota: '3' }))).to.match(/etcd/);
    await near.poolAdmin.set('away', { quota: '4' });
    await near.poolAdmin.add('later', '10.34.1.0/24', {});
    await proxy.listen();
    await until('the host knows again', () => !far.book.stale && far.book.byName('later') !== undefined);
    expect(far.book.byName('away')?.quotaPerHost).to.equal(4);
    await hosts.stop();
    await proxy.stop();
  });

  it('shows the labels of a host to the others, as they are at its last start', async () => {
    const first = await IpamHost.start({ etcd: hosts.etcd.host, name: 'p1', labels: { rack: 'r1' } });
    const read = async () =>
      JSON.parse((await first.kv.range({ key: layout.host('p1') })).kvs[0]?.value ?? '{}');
    const before = await read();
    first.abandon();
    const second = await hosts.start('p1', { stateDir: first.stateDir, labels: { rack: 'r2' } });
    const after = JSON.parse((await second.kv.range({ key: layout.host('p1') })).kvs[0]?.value ?? '{}');
    expect([before.labels, after.labels]).to.deep.equal([{ rack: 'r1' }, { rack: 'r2' }]);
    expect(after.firstSeenAt).to.equal(before.firstSeenAt);
  });
});
