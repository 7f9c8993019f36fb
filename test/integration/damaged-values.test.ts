import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { EtcdInventory } from '../../ipam/people/etcd-inventory.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import { StoreChecker } from '../../ipam/upkeep/store-checker.ts';
import { type IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { any, failure, network } from '../support/pool-words.ts';
import { suiteHosts } from '../support/suite-hosts.ts';

const DAMAGED = '10.66.0.0/16';
const KEY = layout.pool(parseCidr(DAMAGED));
const VALUES = {
  'no JSON': '{damaged',
  'of another shape': '{"v":1,"subnet":7}',
  'with a range that is none': `{"v":1,"subnet":"${DAMAGED}","madeBy":"x","at":1,"name":"p","ranges":[{"first":"here","last":"there"}]}`,
  'with a gateway that is none': `{"v":1,"subnet":"${DAMAGED}","madeBy":"x","at":1,"name":"p","gateway":"router"}`,
};

describe('damaged values in etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts({ empty: true });
  let host: IpamHost;

  beforeEach(async () => {
    host = await hosts.start('d1');
  });

  const write = (key: string, value: string) =>
    host.kv.txn({ compare: [], success: [{ do: 'put', key, value }] });
  const inventoryOf = ({ kv, leases }: IpamHost) =>
    new EtcdInventory({ kv, layout, leases, clock, logger, host: 'd1', usersOf: async () => [] });
  const addressesOf = async (inventory: EtcdInventory): Promise<string[]> => {
    const found: string[] = [];
    for await (const page of inventory.leases({})) found.push(...page.map(({ address }) => address));
    return found;
  };

  for (const [what, value] of Object.entries(VALUES)) {
    it(`a pool ${what} concerns nobody but its own networks`, async () => {
      await host.poolAdmin.add('good', '10.60.0.0/24', { gateway: '10.60.0.1' });
      await write(KEY, value);
      await write(`${layout.pools}rubbish`, '{}');
      const poolId = await network(host, { pool: 'good' });
      const address = await any(host, poolId);
      await network(host, {}, '10.61.0.0/24');
      expect(await failure(network(host, {}, '10.66.1.0/24'))).to.match(/overlaps pool 10\.66\.0\.0\/16/);
      expect(await failure(network(host, {}, DAMAGED))).to.equal(
        'pool 10.66.0.0/16 cannot be read: its value in etcd is damaged: see lanius store check',
      );
      await host.poolAdmin.add('more', '10.62.0.0/24', {});
      await host.poolAdmin.set('good', { quota: '9' });
      const inventory = inventoryOf(host);
      expect((await inventory.pools()).map(({ pool }) => pool)).to.have.members([
        '10.60.0.0/24',
        '10.61.0.0/24',
        '10.62.0.0/24',
      ]);
      expect(await addressesOf(inventory)).to.include(address);
      const identity = { host: 'd1', instance: host.instance, bootId: 'boot' };
      const { kv, committer } = host;
      const reservations = new Reservations(identity, { kv, layout, committer, clock });
      expect((await reservations.reserve(undefined, '10.60.0.9', 'db', soon())).changed).to.equal(true);
      expect(await failure(reservations.reserve(undefined, '10.66.0.9', 'db', soon()))).to.match(
        /cannot be read/,
      );
      expect(await failure(host.poolAdmin.show(DAMAGED))).to.match(/cannot be read/);
      expect((await host.pools.survey()).map(({ usedHere }) => usedHere)).to.include(true);
      await host.claimBook.sweep(soon());
    });

    it(`a pool ${what} is written anew as the check advises`, async () => {
      await write(KEY, value);
      const check = async () => (await new StoreChecker({ kv: host.kv, layout, clock }).check()).findings;
      const [finding, ...others] = await check();
      expect(others).to.deep.equal([]);
      expect(finding?.advice).to.match(/lanius pool add NAME --subnet 10\.66\.0\.0\/16/);
      const { pool } = await host.poolAdmin.add('anew', DAMAGED, { vlan: '5' });
      expect([pool.name, pool.subnet, pool.vlan]).to.deep.equal(['anew', DAMAGED, 5]);
      expect(await check()).to.deep.equal([]);
    });
  }

  it('a damaged host, mark or lease hides nobody else', async () => {
    await host.poolAdmin.add('good', '10.60.0.0/24', { gateway: '10.60.0.1', ranges: ['10.60.0.8/29'] });
    const address = await any(host, await network(host, { pool: 'good' }));
    await write(layout.host('broken'), '{');
    await write(layout.dead('d1'), '{');
    await write(layout.lease(parseCidr('10.60.0.0/24'), parseIp('10.60.0.99')), '{');
    const inventory = inventoryOf(host);
    expect((await inventory.hosts()).map((one) => one.host)).to.deep.equal(['d1']);
    expect(await addressesOf(inventory)).to.include(address);
    expect((await host.poolAdmin.show('good')).leased).to.equal(1);
  });

  it('a daemon that starts reads the other pools', async () => {
    await host.poolAdmin.add('good', '10.60.0.0/24', {});
    await write(KEY, '{damaged');
    const other = await hosts.start('d2');
    await until('it knows the pool', () => other.book.byName('good') !== undefined);
    expect(other.book.list()).to.have.length(1);
  });
});
