import { expect } from 'chai';
import { parseCidr } from '../../../core/ip.ts';
import { chooseConfiguredPool } from '../../../ipam/configured-pools.ts';

describe('ipam/configured-pools', () => {
  const pools = [{ name: 'flat', subnet: parseCidr('10.77.0.0/16') }];

  it('finds a pool by name or by default', () => {
    expect(chooseConfiguredPool(pools, { family: 4, name: 'flat' }).name).to.equal('flat');
    expect(chooseConfiguredPool(pools, { family: 4, defaultName: 'flat' }).name).to.equal('flat');
  });

  it('says what to do where none fits', () => {
    const text = (wish: Parameters<typeof chooseConfiguredPool>[1]) => () =>
      chooseConfiguredPool(pools, wish);
    expect(text({ family: 4 })).to.throw('add --subnet, or set ipam.defaultPool (configured pools: flat)');
    expect(text({ family: 4, name: 'falt' })).to.throw('pool "falt" is not configured: choose one of flat');
    expect(text({ family: 6, name: 'flat' })).to.throw('pool "flat" is IPv4 but IPv6 is asked');
    expect(text({ family: 4, name: 'flat', subnet: parseCidr('10.1.0.0/16') })).to.throw(
      'is 10.77.0.0/16, not 10.1.0.0/16',
    );
  });
});
