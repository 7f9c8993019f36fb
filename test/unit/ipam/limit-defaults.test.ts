import { expect } from 'chai';
import { type Cidr, formatCidr } from '../../../core/ip.ts';
import { LimitDefaults } from '../../../ipam/pool/limit-defaults.ts';
import type { PoolValue } from '../../../store/schema.ts';

const pool = (subnet: string, defaults?: PoolValue['defaults']): PoolValue => ({
  v: 1,
  subnet,
  madeBy: 'h1',
  at: 0,
  ...(defaults === undefined ? {} : { defaults }),
});

describe('ipam/pool/limit-defaults', () => {
  const pools = new Map([
    ['10.0.0.0/16', pool('10.0.0.0/16', { netIn: '10mbit' })],
    ['fd00::/64', pool('fd00::/64', { netIn: '20mbit', netOut: 'none', arp: 'off' })],
    ['10.1.0.0/16', pool('10.1.0.0/16')],
  ]);
  const book = { ready: true, get: (subnet: Cidr) => pools.get(formatCidr(subnet)) };
  const of = (...subnets: string[]) =>
    new LimitDefaults(book).of({ subnets: subnets.map((subnet) => ({ subnet })) });

  it('takes each direction from the first pool that says it', () => {
    expect(of('10.0.0.0/16', 'fd00::/64')).to.deep.equal({ net_in: '10mbit', net_out: 'none' });
    expect(of('fd00::/64', '10.0.0.0/16')).to.deep.equal({ net_in: '20mbit', net_out: 'none' });
    expect(of('10.0.0.0/16')).to.deep.equal({ net_in: '10mbit' });
  });

  it('says nothing for pools that say nothing or are unknown', () => {
    expect(of('10.1.0.0/16', '10.9.0.0/16')).to.deep.equal({});
  });

  it('does not know before the pools were read', () => {
    const unread = new LimitDefaults({ ...book, ready: false });
    expect(unread.of({ subnets: [{ subnet: '10.0.0.0/16' }] })).to.equal(undefined);
  });
});
