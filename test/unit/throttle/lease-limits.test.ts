import { expect } from 'chai';
import { leaseLimitsOf } from '../../../throttle/lease-limits.ts';

describe('throttle/lease-limits', () => {
  const wished = { rateBitsPerSecond: 100e6 };

  it('says nothing of a direction of which nobody has said anything', () => {
    expect(leaseLimitsOf({ in: {}, out: {} })).to.deep.equal({});
  });

  it('says what is wished, by whom, and what enforces it', () => {
    expect(
      leaseLimitsOf({ in: { wished, source: 'env', how: 'tbf' }, out: { source: 'override' } }),
    ).to.deep.equal({
      in: { rate: '100mbit', source: 'env', state: 'in force', how: 'tbf' },
      out: { rate: 'none', source: 'override', state: 'in force' },
    });
  });

  it('says why a limit is not in force, or not as it should be', () => {
    const limits = leaseLimitsOf({
      in: { wished, source: 'env', how: 'police', problem: 'the kernel has no ifb' },
      out: { wished, source: 'label', problem: 'x'.repeat(1000) },
    });
    expect(limits.in).to.include({ state: 'in force', how: 'police', reason: 'the kernel has no ifb' });
    expect(limits.out).to.include({ state: 'not in force' }).and.not.have.property('how');
    expect(limits.out?.reason).to.have.length(200);
    expect(leaseLimitsOf({ in: { problem: 'rate "x" is no number' }, out: {} }).in).to.deep.equal({
      rate: 'none',
      state: 'not in force',
      reason: 'rate "x" is no number',
    });
  });
});
