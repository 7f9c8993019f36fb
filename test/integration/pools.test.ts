import { expect } from 'chai';
import { type IpAddress, parseIp } from '../../core/ip.ts';
import { soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { any, failure, network, release } from '../support/pool-words.ts';
import { suiteHosts } from '../support/suite-hosts.ts';

describe('operators’ pools on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts({ empty: true });

  it('gives each host addresses of its rack, refuses a host without one, and lends where that is allowed', async () => {
    const one = await hosts.start('a1', { labels: { rack: 'r1' } });
    const two = await hosts.start('a2', { labels: { rack: 'r2' } });
    const three = await hosts.start('a3', { labels: { rack: 'r3' } });
    const made = await one.poolAdmin.add('racks', '10.21.0.0/16', {
      gateway: '10.21.0.1',
      ranges: ['10.21.1.0/30,rack=r1', '10.21.2.0/24,rack=r2'],
    });
    expect(made.changed).to.equal(true);
    const ids = [];
    for (const host of [one, two, three]) ids.push(await network(host, { pool: 'racks' }));
    const [p1 = '', p2 = '', p3 = ''] = ids;
    const first = await Promise.all([any(one, p1), any(one, p1), any(one, p1), any(one, p1)]);
    expect(first.toSorted()).to.deep.equal(['10.21.1.0', '10.21.1.1', '10.21.1.2', '10.21.1.3']);
    expect(await any(two, p2)).to.match(/^10\.21\.2\./);
    expect(await failure(any(three, p3))).to.match(/^pool racks has no range for this host \(rack=r3\)/);
    expect(await failure(any(one, p1))).to.match(/exhausted/);
    await two.poolAdmin.set('racks', { borrow: true });
    await until('all hosts know', () =>
      [one, three].every((host) => host.book.byName('racks')?.borrow === true),
    );
    expect(await any(three, p3)).to.match(/^10\.21\.[12]\./);
    expect(await any(one, p1)).to.match(/^10\.21\.2\./);
  });

  it('grows and shrinks online; what is leased outside drains', async () => {
    const host = await hosts.start('c1');
    await host.poolAdmin.add('small', '10.23.0.0/24', { ranges: ['10.23.0.10-10.23.0.11'] });
    const poolId = await network(host, { pool: 'small' });
    const early = [await any(host, poolId), await any(host, poolId)];
    expect(await failure(any(host, poolId))).to.match(/exhausted/);
    await host.poolAdmin.set('small', { addRanges: ['10.23.0.20-10.23.0.21,name=new'] });
    const late = [await any(host, poolId), await any(host, poolId)];
    expect(late.toSorted()).to.deep.equal(['10.23.0.20', '10.23.0.21']);

    await host.poolAdmin.set('small', { removeRanges: ['10.23.0.10-10.23.0.11'], excludes: ['10.23.0.20'] });
    expect(host.leases.list()).to.have.length(4);
    const { draining, leased, reserved, ranges, leasedBy } = await host.poolAdmin.show('small');
    expect({ draining, leased, reserved }).to.deep.equal({ draining: 3, leased: 4, reserved: 1 });
    expect(ranges).to.deep.equal([{ range: '10.23.0.20-10.23.0.21,name=new', size: 1, taken: 1, free: 0 }]);
    expect(leasedBy).to.deep.equal([{ host: 'c1', leases: 4 }]);
    for (const address of [...early, '10.23.0.20']) await release(host, poolId, address);
    expect((await host.poolAdmin.show('10.23.0.0/24')).draining).to.equal(0);
    expect(await failure(any(host, poolId))).to.match(/exhausted/);
    await release(host, poolId, '10.23.0.21');
    expect(await any(host, poolId)).to.equal('10.23.0.21');
  });

  it('gives an excluded address to who names it, and never by itself', async () => {
    const host = await hosts.start('d1');
    await host.poolAdmin.add('holes', '10.24.0.0/29', { excludes: ['10.24.0.2-10.24.0.5'] });
    const poolId = await network(host, { pool: 'holes' });
    expect(await any(host, poolId)).to.equal('10.24.0.6');
    expect(await failure(any(host, poolId))).to.match(/exhausted/);
    const address: IpAddress = parseIp('10.24.0.4');
    await host.addresses.requestAddress({ poolId, gateway: false, address }, soon());
    expect((await host.poolAdmin.show('holes')).draining).to.equal(1);
  });

  it('holds a host to the quota of the pool', async () => {
    const [one, two] = [await hosts.start('e1'), await hosts.start('e2')];
    await one.poolAdmin.add('quota', '10.25.0.0/24', { quota: '2' });
    const [p1, p2] = [await network(one, { pool: 'quota' }), await network(two, { pool: 'quota' })];
    const mine = [await any(one, p1), await any(one, p1)];
    expect(await failure(any(one, p1))).to.match(/quota|limit|may hold/);
    await any(two, p2);
    await release(one, p1, mine[0] ?? '');
    await any(one, p1);
  });

  it('gives a pool with select none by name only, and one for labels to hosts that have them', async () => {
    const one = await hosts.start('f1', { labels: { rack: 'r1' } });
    const two = await hosts.start('f2', { labels: { rack: 'r2' } });
    await one.poolAdmin.add('hidden', '10.26.0.0/24', { select: 'none' });
    const none = await failure(network(one, {}));
    expect(none).to.match(/^no subnet given and no pool fits this host by itself: add --subnet/);
    expect(await network(one, { pool: 'hidden' })).to.equal('10.26.0.0/24#1');
    await one.poolAdmin.add('rack1', '10.26.1.0/24', { select: 'rack=r1' });
    expect(await network(one, {})).to.equal('10.26.1.0/24#1');
    const refused = await failure(network(two, { pool: 'rack1' }));
    expect(refused).to.match(
      /^pool rack1 is for hosts with rack=r1, and this host has rack=r2: choose another/,
    );
    expect(await failure(network(two, {}, '10.26.1.0/24'))).to.equal(refused);
    await one.poolAdmin.set('rack1', { select: '' });
    expect(await network(two, {})).to.equal('10.26.1.0/24#1');
    await one.poolAdmin.add('also', '10.26.2.0/24', {});
    expect(await failure(network(two, {}))).to.match(/several pools fit this host \(rack=r2\): rack1, also/);
  });

  it('makes two networks without a subnet at once', async () => {
    const host = await hosts.start('g1');
    await host.poolAdmin.add('default', '10.27.0.0/24', { select: 'rack=g' });
    const other = await hosts.start('g2', { labels: { rack: 'g' } });
    const ids = await Promise.all([network(other, {}), network(other, {}), network(other, {})]);
    expect(ids.toSorted()).to.deep.equal(['10.27.0.0/24#1', '10.27.0.0/24#2', '10.27.0.0/24#3']);
  });

  it('keeps range and stickiness of a network in its PoolID, for when the record is lost', async () => {
    const host = await hosts.start('l1');
    await host.poolAdmin.add('parts', '10.32.0.0/16', {
      ranges: ['10.32.1.0/24', '10.32.2.0/24,name=kept,select=none'],
    });
    const poolId = await network(host, { pool: 'parts', range: 'kept', sticky: true });
    expect(poolId).to.equal('10.32.0.0/16;range=kept;sticky=true#1');
    await host.claims.delete(poolId);
    const address = await any(host, poolId, 'web');
    expect(address).to.match(/^10\.32\.2\./);
    await release(host, poolId, address);
    expect(await any(host, poolId, 'web')).to.equal(address);
    expect(await failure(any(host, poolId))).to.equal(
      "pool parts is sticky, and this engine does not tell the plugin the container's name (29 or later does): " +
        'give the container --ip, and keep that address for it with lanius ip reserve',
    );
    const plain = await network(host, { pool: 'parts' });
    expect(await any(host, plain)).to.match(/^10\.32\.1\./);
    await host.poolAdmin.set('parts', { removeRanges: ['kept'] });
    expect(await failure(any(host, poolId, 'other'))).to.match(/^pool parts has no range "kept"/);
  });

  it('brings the address of a name to another host', async () => {
    const [one, two] = [await hosts.start('m1'), await hosts.start('m2')];
    await one.poolAdmin.add('names', '10.33.0.0/24', { sticky: true, keep: '1h' });
    const [p1, p2] = [await network(one, { pool: 'names' }), await network(two, { pool: 'names' })];
    const address = await any(one, p1, 'db');
    await release(one, p1, address);
    expect(await any(two, p2, 'db')).to.equal(address);
  });

  it('serves both families of a network from a pool each, chosen by the labels of the host', async () => {
    const host = await hosts.start('o1', { labels: { rack: 'six' } });
    await host.poolAdmin.add('four', '10.36.0.0/24', { select: 'rack=six' });
    await host.poolAdmin.add('six', 'fd00:36::/64', { ranges: ['fd00:36::100/124'], select: 'rack=six' });
    const grants = [];
    for (const family of [4, 6] as const) {
      const grant = await host.addresses.requestPool({ family, options: {} }, soon());
      await host.addresses.requestAddress({ poolId: grant.poolId, gateway: true }, soon());
      grants.push(grant);
    }
    await host.addresses.attachNetwork({ networkId: 'n', subnets: grants });
    const [four, six] = grants.map(({ poolId }) => poolId);
    expect([four, six]).to.deep.equal(['10.36.0.0/24#1', 'fd00:36::/64#1']);
    expect(await any(host, six ?? '')).to.match(/^fd00:36::10[0-9a-f]$/);
    expect(await any(host, four ?? '')).to.match(/^10\.36\.0\./);
  });
});
