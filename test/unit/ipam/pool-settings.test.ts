import { expect } from 'chai';
import { type PoolWishes, withWishes } from '../../../ipam/pool/pool-settings.ts';
import type { PoolValue } from '../../../store/schema.ts';

const bare: PoolValue = { v: 1, subnet: '10.0.0.0/16', madeBy: 'h', at: 0, name: 'prod' };
const full: PoolWishes = {
  gateway: '10.0.0.1',
  ranges: ['10.0.1.0/24,name=one', '10.0.2.0-10.0.2.9'],
  excludes: ['10.0.1.7', '10.0.3.0/30'],
  vlan: '5',
  select: 'rack=r1',
  borrow: true,
  quota: '100',
  cooling: '60s',
  sticky: true,
  keep: '7d',
  macPrefix: '02:4D',
  defaults: ['net_in=10mbit', 'arp=preload'],
};

describe('ipam/pool-settings', () => {
  it('sets everything that there is', () => {
    expect(withWishes(bare, full)).to.deep.equal({
      ...bare,
      gateway: '10.0.0.1',
      ranges: [
        { first: '10.0.1.0', last: '10.0.1.255', name: 'one' },
        { first: '10.0.2.0', last: '10.0.2.9' },
      ],
      excludes: [
        { first: '10.0.1.7', last: '10.0.1.7' },
        { first: '10.0.3.0', last: '10.0.3.3' },
      ],
      vlan: 5,
      select: { rack: 'r1' },
      borrow: true,
      quotaPerHost: 100,
      coolingSeconds: 60,
      sticky: true,
      keepSeconds: 604_800,
      macPrefix: '02:4d',
      defaults: { netIn: '10mbit', arp: 'preload' },
    });
  });

  it('leaves alone what is not named, and says the same twice', () => {
    const pool = withWishes(bare, full);
    expect(withWishes(pool, {})).to.deep.equal(pool);
    expect(withWishes(pool, full)).to.deep.equal(pool);
  });

  it('removes what is emptied', () => {
    const nothing: PoolWishes = {
      gateway: '',
      ranges: [],
      excludes: [],
      vlan: '',
      select: '',
      borrow: false,
      quota: '',
      cooling: '',
      sticky: false,
      keep: '',
      macPrefix: '',
      defaults: [],
    };
    expect(withWishes(withWishes(bare, full), nothing)).to.deep.equal(bare);
  });

  it('adds and removes single ranges, excludes and defaults', () => {
    const pool = withWishes(bare, full);
    const changed = withWishes(pool, {
      addRanges: ['10.0.4.0/24'],
      removeRanges: ['one'],
      addExcludes: ['10.0.4.1', '10.0.1.7'],
      removeExcludes: ['10.0.3.0/30'],
      defaults: ['net_in=', 'net_out=1.5gbit'],
    });
    expect(changed.ranges?.map(({ first }) => first)).to.deep.equal(['10.0.2.0', '10.0.4.0']);
    expect(changed.excludes?.map(({ first }) => first)).to.deep.equal(['10.0.1.7', '10.0.4.1']);
    expect(changed.defaults).to.deep.equal({ arp: 'preload', netOut: '1500mbit' });
    expect(withWishes(pool, { removeRanges: ['one', '10.0.2.0-10.0.2.9'] }).ranges).to.equal(undefined);
  });

  const refusals: readonly (readonly [string, PoolWishes, string])[] = [
    [
      'a gateway outside',
      { gateway: '10.1.0.1' },
      'gateway 10.1.0.1 is not an address of subnet 10.0.0.0/16',
    ],
    ['the network address as gateway', { gateway: '10.0.0.0' }, 'is not an address of subnet'],
    ['ranges that overlap', { ranges: ['10.0.1.0/24', '10.0.1.128-10.0.2.1'] }, 'overlaps range'],
    [
      'a range that overlaps another of the pool',
      { addRanges: ['10.0.1.0/24'] },
      'each address is in one range',
    ],
    [
      'two ranges of one name',
      { addRanges: ['10.0.9.0/24,name=one'] },
      'two ranges of pool prod are called one',
    ],
    ['removing a range that is not there', { removeRanges: ['two'] }, 'pool prod has no range "two"'],
    ['removing an exclude that is not there', { removeExcludes: ['10.0.9.9'] }, 'has no exclude "10.0.9.9"'],
    ['VLAN 4095', { vlan: '4095' }, 'vlan "4095" is not a whole number from 1 to 4094'],
    ['a quota of 0', { quota: '0' }, 'quota "0" is not a whole number from 1'],
    ['a cooling of 8 days', { cooling: '8d' }, 'cooling "8d" is not from 0s to 7d'],
    ['a keep of a second', { keep: '1s' }, 'keep "1s" is not from 1m to 365d'],
    ['a universal MAC prefix', { macPrefix: '00:4d' }, 'is not locally administered unicast'],
    ['an unknown default', { defaults: ['mtu=9000'] }, 'default "mtu=9000" is unknown'],
    [
      'a doubtful rate',
      { defaults: ['net_in=10mbps'] },
      'default net_in: rate "10mbps" may mean bits or bytes',
    ],
    ['an unknown ARP mode', { defaults: ['arp=x'] }, 'default arp=x is unknown'],
    ['65 ranges', { ranges: Array.from({ length: 65 }, (_, i) => `10.0.${i}.0/24`) }, 'more than 64 ranges'],
  ];
  for (const [what, wishes, complaint] of refusals) {
    it(`refuses ${what}`, () => {
      expect(() => withWishes(withWishes(bare, full), wishes)).to.throw(complaint);
    });
  }
});
