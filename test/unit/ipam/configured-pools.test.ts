import { expect } from 'chai';
import { parseCidr } from '../../../core/ip.ts';
import { chooseConfiguredPool } from '../../../ipam/pool/configured-pools.ts';
import { choosePool, type PoolOffer } from '../../../ipam/pool/pool-choice.ts';
import type { PoolValue } from '../../../store/schema.ts';

describe('ipam/configured-pools', () => {
  const pools = [{ name: 'flat', subnet: parseCidr('10.77.0.0/16') }];

  it('finds a pool by name or by default', () => {
    expect(chooseConfiguredPool(pools, { family: 4, name: 'flat' }).name).to.equal('flat');
    expect(chooseConfiguredPool(pools, { family: 4, defaultName: 'flat' }).name).to.equal('flat');
  });

  it('says what to do where none fits', () => {
    const text = (wish: Parameters<typeof chooseConfiguredPool>[1]) => () =>
      chooseConfiguredPool(pools, wish);
    expect(text({ family: 4 })).to.throw('or set ipam.defaultPool (configured pools: flat)');
    expect(text({ family: 4, name: 'falt' })).to.throw('there is no pool "falt": choose one of flat');
    expect(text({ family: 6, name: 'flat' })).to.throw('pool "flat" is IPv4 but IPv6 is asked');
    expect(text({ family: 4, name: 'flat', subnet: parseCidr('10.1.0.0/16') })).to.throw(
      'is 10.77.0.0/16, not 10.1.0.0/16',
    );
  });
});

describe('ipam/pool-choice', () => {
  const pool = (name: string, subnet: string, more: Partial<PoolValue> = {}): PoolValue => ({
    v: 1,
    subnet,
    madeBy: 'h',
    at: 0,
    name,
    ...more,
  });
  const offer = (pools: readonly PoolValue[], more: Partial<PoolOffer> = {}): PoolOffer => ({
    pools,
    configured: [],
    labels: { rack: 'r1' },
    ...more,
  });
  const chosen = (from: PoolOffer, request: Partial<Parameters<typeof choosePool>[1]> = {}) => {
    const { subnet, range } = choosePool(from, { family: 4, options: {}, ...request });
    return [subnet, range].map((one) => (one === undefined ? '-' : `${one.base}/${one.prefixLength}`));
  };
  const text = (subnet: string) => {
    const { base, prefixLength } = parseCidr(subnet);
    return `${base}/${prefixLength}`;
  };
  const [A, B, C] = ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'];
  const rack1 = pool('a', A, { select: { rack: 'r1' } });
  const rack2 = pool('b', B, { select: { rack: 'r2' } });
  const open = pool('c', C);

  it('prefers the configured default, then the pool for the labels of the host, then one for everybody', () => {
    const configured = [{ name: 'mine', subnet: parseCidr('10.9.0.0/16'), range: parseCidr('10.9.1.0/24') }];
    const all = [rack1, rack2, open, pool('n', '10.4.0.0/16', { select: 'none' })];
    expect(chosen(offer(all, { configured, defaultName: 'mine' }))).to.deep.equal([
      text('10.9.0.0/16'),
      text('10.9.1.0/24'),
    ]);
    expect(chosen(offer(all))[0]).to.equal(text(A));
    expect(chosen(offer(all, { labels: {} }))[0]).to.equal(text(C));
  });

  it('does not choose among several, nor pools without a name, of select none, or of the other family', () => {
    expect(() => chosen(offer([open, pool('d', '10.5.0.0/16')]))).to.throw(
      'several pools fit this host (rack=r1): c, d: name one with --ipam-opt pool=NAME',
    );
    const { name: _name, ...nameless } = open;
    const none = [nameless, pool('n', A, { select: 'none' }), pool('six', 'fd00::/64')];
    expect(() => chosen(offer(none))).to.throw('no subnet given and no pool fits this host by itself');
    expect(chosen(offer(none), { family: 6 })[0]).to.equal(text('fd00::/64'));
  });

  it('takes an operator’s pool by name, also with select none, and says what is known otherwise', () => {
    const none = pool('n', A, { select: 'none' });
    const configured = [{ name: 'mine', subnet: parseCidr('10.9.0.0/16') }];
    const from = offer([none, rack2], { configured });
    expect(chosen(from, { options: { pool: 'n' } })[0]).to.equal(text(A));
    expect(chosen(from, { options: { pool: 'mine' } })[0]).to.equal(text('10.9.0.0/16'));
    expect(() => chosen(from, { options: { pool: 'x' } })).to.throw(
      'there is no pool "x": choose one of n, b, mine, or use --subnet instead',
    );
    expect(() => chosen(from, { options: { pool: 'n' }, subnet: parseCidr(B) })).to.throw(
      'pool "n" is 10.1.0.0/16, not 10.2.0.0/16',
    );
    const twice = offer([pool('mine', A)], { configured });
    expect(() => chosen(twice, { options: { pool: 'mine' } })).to.throw(
      'pool "mine" is 10.1.0.0/16 in etcd, but 10.9.0.0/16 in ipam.pools of this host: rename one of the two',
    );
  });

  it('refuses a pool for other hosts, by name and by subnet, unless it lends', () => {
    const refusal = 'pool b is for hosts with rack=r2, and this host has rack=r1';
    expect(() => chosen(offer([rack2]), { options: { pool: 'b' } })).to.throw(refusal);
    expect(() => chosen(offer([rack2]), { subnet: parseCidr(B) })).to.throw(refusal);
    const lending = offer([{ ...rack2, borrow: true }]);
    expect(chosen(lending, { options: { pool: 'b' } })[0]).to.equal(text(B));
  });

  it('checks the name of a range at once', () => {
    const ranged = pool('a', A, { ranges: [{ first: '10.1.1.0', last: '10.1.1.255', name: 'web' }] });
    expect(chosen(offer([ranged]), { options: { pool: 'a', range: 'web' } })[0]).to.equal(text(A));
    expect(() => chosen(offer([ranged]), { options: { pool: 'a', range: 'db' } })).to.throw(
      'pool a has no range "db": choose another with --ipam-opt range= (it has: web)',
    );
    expect(() => chosen(offer([]), { subnet: parseCidr(A), options: { range: 'web' } })).to.throw(
      'pool 10.1.0.0/16 has no range "web"',
    );
  });
});
