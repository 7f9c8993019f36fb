import { expect } from 'chai';
import { PoolExhausted } from '../../../core/errors.ts';
import { parseCidr } from '../../../core/ip.ts';
import { formatRange, parseRange, without } from '../../../ipam/address/ranges.ts';
import { type Asking, choiceFor, fitsPattern } from '../../../ipam/pool/pool-policy.ts';
import { type PoolWishes, withWishes } from '../../../ipam/pool/pool-settings.ts';
import { formatPoolRange, parsePoolRange } from '../../../ipam/pool/pool-words.ts';
import type { PoolValue } from '../../../store/schema.ts';

const made = (subnet: string, wishes: PoolWishes): PoolValue =>
  withWishes({ v: 1, subnet, madeBy: 'h', at: 0, name: 'prod' }, wishes);
const choose = (
  pool: PoolValue | undefined,
  who: Partial<Asking> = {},
  subnet = pool?.subnet ?? '10.0.0.0/24',
) => {
  const { own, borrow } = choiceFor(pool, parseCidr(subnet), { labels: {}, ...who });
  return { own: own.map(formatRange), borrow: borrow.map(formatRange) };
};

describe('ipam/ranges', () => {
  it('reads and writes ranges of both families', () => {
    for (const [text, written] of [
      ['10.0.0.5-10.0.0.9', '10.0.0.5-10.0.0.9'],
      ['10.0.0.5', '10.0.0.5'],
      ['10.0.0.0/30', '10.0.0.0-10.0.0.3'],
      ['fd00::5-fd00::9', 'fd00::5-fd00::9'],
      ['fd00::/126', 'fd00::-fd00::3'],
    ] as const)
      expect(formatRange(parseRange(text)), text).to.equal(written);
    for (const text of [
      '',
      '-',
      '10.0.0.9-10.0.0.5',
      '10.0.0.1-fd00::1',
      '1-2-3',
      '10.0.0.1-10.0.0.2-10.0.0.3',
      '10.0.0.0/33',
    ])
      expect(() => parseRange(text), text).to.throw();
  });

  it('takes holes out of ranges, wherever they lie', () => {
    const cut = (holes: string[]) =>
      without(['10.0.0.10-10.0.0.20', '10.0.0.30-10.0.0.40'].map(parseRange), holes.map(parseRange)).map(
        formatRange,
      );
    expect(cut([])).to.deep.equal(['10.0.0.10-10.0.0.20', '10.0.0.30-10.0.0.40']);
    expect(cut(['10.0.0.15'])).to.deep.equal([
      '10.0.0.10-10.0.0.14',
      '10.0.0.16-10.0.0.20',
      '10.0.0.30-10.0.0.40',
    ]);
    expect(cut(['10.0.0.18-10.0.0.32', '10.0.0.40', '10.0.0.10'])).to.deep.equal([
      '10.0.0.11-10.0.0.17',
      '10.0.0.33-10.0.0.39',
    ]);
    expect(cut(['10.0.0.0/25'])).to.deep.equal([]);
    expect(cut(['10.0.0.12-10.0.0.18', '10.0.0.14', '10.0.0.16-10.0.0.19'])).to.deep.equal([
      '10.0.0.10-10.0.0.11',
      '10.0.0.20',
      '10.0.0.30-10.0.0.40',
    ]);
  });
});

describe('ipam/pool-policy', () => {
  it('gives nothing from a range by name while its pool is gone', () => {
    expect(() => choose(undefined, { rangeName: 'db' })).to.throw(
      'pool 10.0.0.0/24 has no range "db": it is not in etcd any more: make it again with lanius pool add',
    );
  });

  it('gives the usable addresses where nothing is set, or etcd has no pool', () => {
    expect(choose(undefined)).to.deep.equal({ own: ['10.0.0.1-10.0.0.254'], borrow: [] });
    expect(choose(made('10.0.0.0/30', {}))).to.deep.equal({ own: ['10.0.0.1-10.0.0.2'], borrow: [] });
    expect(choose(made('fd00::/126', {}))).to.deep.equal({ own: ['fd00::1-fd00::3'], borrow: [] });
  });

  it('stays inside of --ip-range', () => {
    const inside = (claimRange: string, subnet: string) =>
      choose(undefined, { claimRange: parseCidr(claimRange) }, subnet).own;
    expect(inside('10.0.0.0/25', '10.0.0.0/24')).to.deep.equal(['10.0.0.1-10.0.0.127']);
    expect(inside('10.0.9.0/24', '10.0.0.0/16')).to.deep.equal(['10.0.9.0-10.0.9.255']);
    expect(inside('10.0.0.6/31', '10.0.0.6/31')).to.deep.equal(['10.0.0.6-10.0.0.7']);
    const pool = made('10.0.0.0/24', { ranges: ['10.0.0.0/26'] });
    expect(choose(pool, { claimRange: parseCidr('10.0.0.32/27') }).own).to.deep.equal([
      '10.0.0.32-10.0.0.63',
    ]);
    expect(() => choose(pool, { claimRange: parseCidr('10.0.0.128/25') })).to.throw(
      PoolExhausted,
      'pool prod (10.0.0.0/24) has no address to give out inside of --ip-range 10.0.0.128/25',
    );
  });

  it('leaves out excludes and an operator’s gateway', () => {
    const pool = made('10.0.0.0/24', {
      gateway: '10.0.0.254',
      excludes: ['10.0.0.1-10.0.0.9', '10.0.0.100'],
    });
    expect(choose(pool).own).to.deep.equal(['10.0.0.10-10.0.0.99', '10.0.0.101-10.0.0.253']);
    const { name: _name, ...nameless } = made('10.0.0.0/24', { gateway: '10.0.0.254' });
    expect(choose(nameless).own).to.deep.equal(['10.0.0.1-10.0.0.254']);
    const all = made('10.0.0.0/24', { excludes: ['10.0.0.0/24'] });
    expect(() => choose(all)).to.throw(PoolExhausted, 'its ranges and excludes leave nothing there');
  });

  const racks = (more: PoolWishes = {}) =>
    made('10.0.0.0/16', { ranges: ['10.0.2.0/24,rack=r2', '10.0.1.0/24,rack=r1,name=one'], ...more });

  it('gives hosts the ranges for their labels, and others only by borrowing', () => {
    expect(choose(racks(), { labels: { rack: 'r1', zone: 'b' } })).to.deep.equal({
      own: ['10.0.1.0-10.0.1.255'],
      borrow: [],
    });
    expect(choose(racks({ borrow: true }), { labels: { rack: 'r1' } })).to.deep.equal({
      own: ['10.0.1.0-10.0.1.255'],
      borrow: ['10.0.2.0-10.0.2.255'],
    });
    expect(choose(racks({ borrow: true }), { labels: { rack: 'r3' } })).to.deep.equal({
      own: [],
      borrow: ['10.0.1.0-10.0.1.255', '10.0.2.0-10.0.2.255'],
    });
    expect(() => choose(racks(), { labels: { rack: 'r3' } })).to.throw(
      'pool prod has no range for this host (rack=r3): set host.labels, add a range with lanius pool set prod --add-range, or allow borrowing with --borrow',
    );
    expect(() => choose(racks())).to.throw('this host (no labels)');
  });

  it('needs every label of a selector', () => {
    const pool = made('10.0.0.0/16', { ranges: ['10.0.1.0/24,rack=r1,zone=b', '10.0.2.0/24'] });
    expect(choose(pool, { labels: { rack: 'r1' } }).own).to.deep.equal(['10.0.2.0-10.0.2.255']);
    expect(choose(pool, { labels: { rack: 'r1', zone: 'b' } }).own).to.have.length(2);
  });

  it('selects by container name where the engine tells it, and says what to do where it does not', () => {
    const pool = made('10.0.0.0/16', { ranges: ['10.0.1.0/24,container=web-*,name=web'] });
    expect(choose(pool, { containerName: 'web-1' }).own).to.deep.equal(['10.0.1.0-10.0.1.255']);
    expect(() => choose(pool, { containerName: 'db' })).to.throw(
      'pool prod has no range for the container name "db" (only for web-*): give it --ip',
    );
    expect(() => choose(pool)).to.throw(
      'gives addresses by container name only, which this engine does not tell',
    );
    expect(choose(pool, { rangeName: 'web' }).own).to.deep.equal(['10.0.1.0-10.0.1.255']);
    const open = made('10.0.0.0/16', { ranges: ['10.0.1.0/24,container=web-*', '10.0.2.0/24'] });
    expect(choose(open).own).to.deep.equal(['10.0.2.0-10.0.2.255']);
  });

  it('gives a range with select none by name only, and never lends it', () => {
    const pool = made('10.0.0.0/16', {
      ranges: ['10.0.1.0/24', '10.0.2.0/24,name=kept,select=none'],
      borrow: true,
    });
    expect(choose(pool)).to.deep.equal({ own: ['10.0.1.0-10.0.1.255'], borrow: [] });
    expect(choose(pool, { rangeName: 'kept' })).to.deep.equal({ own: ['10.0.2.0-10.0.2.255'], borrow: [] });
    const only = made('10.0.0.0/16', { ranges: ['10.0.2.0/24,select=none'] });
    expect(() => choose(only)).to.throw('pool prod has only ranges with select=none: name one');
  });

  it('refuses a named range that is gone, or for other hosts', () => {
    expect(() => choose(racks(), { rangeName: 'x' })).to.throw('has no range "x"');
    expect(() => choose(racks(), { rangeName: 'one', labels: { rack: 'r2' } })).to.throw(
      'range one of pool prod is for hosts with rack=r1, and this host has rack=r2',
    );
    const lending = racks({ borrow: true });
    expect(choose(lending, { rangeName: 'one', labels: { rack: 'r2' } }).own).to.deep.equal([
      '10.0.1.0-10.0.1.255',
    ]);
  });

  it('works alike for IPv6', () => {
    const pool = made('fd00::/64', { ranges: ['fd00::100-fd00::1ff,rack=r1'], excludes: ['fd00::180/121'] });
    expect(choose(pool, { labels: { rack: 'r1' } }).own).to.deep.equal(['fd00::100-fd00::17f']);
  });

  it('matches patterns with stars in linear time', () => {
    const fits = (pattern: string, ...texts: string[]) => texts.filter((text) => fitsPattern(pattern, text));
    expect(fits('web', 'web', 'web1', 'aweb')).to.deep.equal(['web']);
    expect(fits('web-*', 'web-', 'web-1', 'web', 'xweb-1')).to.deep.equal(['web-', 'web-1']);
    expect(fits('*-db', 'a-db', '-db', 'a-db2')).to.deep.equal(['a-db', '-db']);
    expect(fits('a*b*c', 'abc', 'aXbYc', 'acb', 'abcb', 'aXXbc')).to.deep.equal(['abc', 'aXbYc', 'aXXbc']);
    expect(fits('ab*ba', 'aba', 'abba')).to.deep.equal(['abba']);
    expect(fits('*', '', 'x')).to.deep.equal(['', 'x']);
    expect(fits('a.c', 'abc', 'a.c')).to.deep.equal(['a.c']);
    const began = performance.now();
    expect(fitsPattern(`${'*a'.repeat(60)}b`, 'a'.repeat(4000))).to.equal(false);
    expect(performance.now() - began).to.be.below(200);
  });
});

describe('ipam/pool-words', () => {
  const subnet = parseCidr('10.0.0.0/16');

  it('reads a range with its users and writes it back', () => {
    const text = '10.0.1.0-10.0.1.255,name=web,rack=r1,zone=b,container=web-*,select=none';
    expect(parsePoolRange(subnet, text)).to.deep.equal({
      first: '10.0.1.0',
      last: '10.0.1.255',
      name: 'web',
      hosts: { rack: 'r1', zone: 'b' },
      containers: 'web-*',
      select: 'none',
    });
    expect(formatPoolRange(parsePoolRange(subnet, text))).to.equal(text);
  });

  it('refuses what it does not understand, by name', () => {
    const text = (range: string) => () => parsePoolRange(subnet, range);
    expect(text('10.1.0.0/24')).to.throw('range 10.1.0.0-10.1.0.255 is not inside of subnet 10.0.0.0/16');
    expect(text('10.0.0.0/15')).to.throw('is not inside of subnet');
    expect(text('fd00::1')).to.throw('is not inside of subnet');
    expect(text('10.0.0.0/24,rack')).to.throw('label "rack" is not of the form KEY=VALUE');
    expect(text('10.0.0.0/24,name=a b')).to.throw('range name "a b" is not a name');
    expect(text('10.0.0.0/24,select=all')).to.throw('select can only be none');
    expect(text('10.0.0.0/24,container=a/b')).to.throw('is not a container name, which may have *');
  });
});
