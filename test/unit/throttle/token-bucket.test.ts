import { expect } from 'chai';
import fc from 'fast-check';
import { shapeOf } from '../../../throttle/token-bucket.ts';

const rate = (rateBitsPerSecond: number, more = {}) => shapeOf({ rateBitsPerSecond, ...more }, 1500);

describe('throttle/token-bucket', () => {
  it('holds ten frames at small rates, and 2 ms at large ones', () => {
    expect(rate(8e3).burstBytes).to.equal(15_140);
    expect(rate(60.56e6).burstBytes).to.equal(15_140);
    expect(rate(100e6).burstBytes).to.equal(25_000);
    expect(rate(1e9).burstBytes).to.equal(250_000);
    expect(shapeOf({ rateBitsPerSecond: 1e6 }, 9000).burstBytes).to.equal(90_140);
  });

  it('queues 25 ms beyond the burst, at least four frames', () => {
    expect(rate(1e6).limitBytes).to.equal(15_140 + 6056);
    expect(rate(100e6).limitBytes).to.equal(25_000 + 312_500);
    expect(rate(100e9).limitBytes).to.equal(25_000_000 + 312_500_000);
  });

  it('takes the burst that was said, but none that a frame does not fit into', () => {
    expect(rate(1e6, { burstBytes: 100_000 })).to.deep.equal({
      rateBitsPerSecond: 1e6,
      burstBytes: 100_000,
      limitBytes: 106_056,
    });
    expect(rate(1e6, { burstBytes: 100 }).burstBytes).to.equal(3028);
  });

  it('gives a peak a bucket of its own, and none to a peak that is no more than the rate', () => {
    expect(rate(10e6, { burstBytes: 5e6, peakBitsPerSecond: 100e6 })).to.include({
      peakBitsPerSecond: 100e6,
      peakBurstBytes: 25_000,
    });
    expect(rate(10e6, { peakBitsPerSecond: 50e9 }).peakBurstBytes).to.equal(15_140);
    expect(rate(10e6, { peakBitsPerSecond: 10e6 })).to.not.have.any.keys(
      'peakBitsPerSecond',
      'peakBurstBytes',
    );
  });

  it('gives whole numbers that the kernel has room for, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 8e3, max: 100e9, noNaN: true }),
        fc.option(fc.double({ min: 1, max: 1e12, noNaN: true }), { nil: undefined }),
        fc.option(fc.double({ min: 8e3, max: 100e9, noNaN: true }), { nil: undefined }),
        fc.integer({ min: 68, max: 65_535 }),
        (rateBitsPerSecond, burstBytes, peakBitsPerSecond, mtuBytes) => {
          const limit = {
            rateBitsPerSecond,
            ...(burstBytes === undefined ? {} : { burstBytes }),
            ...(peakBitsPerSecond === undefined ? {} : { peakBitsPerSecond }),
          };
          const shape = shapeOf(limit, mtuBytes);
          for (const bytes of [shape.burstBytes, shape.limitBytes, shape.peakBurstBytes ?? 1]) {
            expect(Number.isInteger(bytes) && bytes > 0 && bytes <= 0xffff_ffff).to.equal(true);
          }
          expect(shape.limitBytes).to.be.at.least(shape.burstBytes);
          expect(shape.peakBurstBytes ?? 0).to.be.at.most(shape.burstBytes);
        },
      ),
    );
  });
});
