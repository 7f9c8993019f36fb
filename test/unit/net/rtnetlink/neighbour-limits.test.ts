import { expect } from 'chai';
import { limitsDump, limitsSet, readLimits } from '../../../../net/rtnetlink/neighbour-limits.ts';
import { attribute, text, u32 } from '../../../../net/rtnetlink/wire.ts';

describe('net/rtnetlink/neighbour-limits', () => {
  const thresholds = [attribute(2, u32(128)), attribute(3, u32(512)), attribute(4, u32(1024))];

  it('asks for the tables, and sets all three limits', () => {
    expect([limitsDump().type, limitsDump().payload.toString('hex')]).to.deep.equal([66, '02000000']);
    const { type, payload } = limitsSet({ least: 1, soft: 2, most: 3 });
    expect(type).to.equal(67);
    expect(payload.toString('hex')).to.equal(
      [
        '02000000',
        '0e0001006172705f63616368650000' + '00',
        '0800020001000000',
        '0800030002000000',
        '0800040003000000',
      ].join(''),
    );
  });

  it('reads them from the message about the whole IPv4 table only', () => {
    const whole = Buffer.concat([u32(2), attribute(1, text('arp_cache')), ...thresholds]);
    expect(readLimits(whole)).to.deep.equal({ least: 128, soft: 512, most: 1024 });
    expect(readLimits(Buffer.concat([u32(10), ...thresholds]))).to.equal(undefined);
    expect(readLimits(Buffer.concat([u32(2), attribute(1, text('arp_cache'))]))).to.equal(undefined);
    expect(readLimits(Buffer.alloc(2))).to.equal(undefined);
  });
});
