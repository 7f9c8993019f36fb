import { expect } from 'chai';
import fc from 'fast-check';
import { median, pairRatios, percentile, Samples, significant } from '../../../bench/statistics.ts';

const samples = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), {
  minLength: 1,
  maxLength: 50,
});

describe('bench/statistics', () => {
  it('takes the middle of an odd number, and half way of the two middle ones of an even number', () => {
    expect(median([3, 1, 2])).to.equal(2);
    expect(median([4, 1, 3, 2])).to.equal(2.5);
    expect(median([7])).to.equal(7);
  });

  it('interpolates percentiles between neighbours', () => {
    const values = Array.from({ length: 101 }, (_, i) => 100 - i);
    expect(percentile(values, 0)).to.equal(0);
    expect(percentile(values, 99)).to.equal(99);
    expect(percentile(values, 100)).to.equal(100);
    expect(percentile([10, 20], 99)).to.be.closeTo(19.9, 1e-9);
  });

  it('sorts by number, and leaves the samples as they were', () => {
    const values = [10, 9, 100];
    expect(median(values)).to.equal(10);
    expect(values).to.deep.equal([10, 9, 100]);
  });

  it('stays within the samples and grows with the percentage', () => {
    fc.assert(
      fc.property(samples, fc.nat(100), fc.nat(100), (values, a, b) => {
        const [low, high] = [percentile(values, Math.min(a, b)), percentile(values, Math.max(a, b))];
        const slack = 1e-9 * Math.max(...values.map(Math.abs));
        expect(low).to.be.at.least(Math.min(...values) - slack);
        expect(high).to.be.at.most(Math.max(...values) + slack);
        expect(low).to.be.at.most(high + slack);
      }),
    );
  });

  it('refuses no samples and what is no percentage', () => {
    expect(() => median([])).to.throw(RangeError, 'no samples');
    for (const percent of [-1, 101, Number.NaN]) expect(() => percentile([1], percent)).to.throw(RangeError);
  });

  it('rounds to significant digits', () => {
    expect(significant(1.23456)).to.equal(1.235);
    expect(significant(123456)).to.equal(123500);
    expect(significant(0.000012345, 2)).to.equal(0.000012);
    expect(significant(0)).to.equal(0);
    expect(Number.isNaN(significant(Number.NaN))).to.equal(true);
  });

  it('divides pairs', () => {
    expect(
      pairRatios([
        [2, 1],
        [3, 2],
      ]),
    ).to.deep.equal([2, 1.5]);
  });

  it('keeps samples by name in the order in which the names came', () => {
    const kept = new Samples();
    for (const [name, value] of [
      ['b', 1],
      ['a', 2],
      ['b', 3],
    ] as const)
      kept.add(name, value);
    expect(kept.names()).to.deep.equal(['b', 'a']);
    expect(kept.of('b')).to.deep.equal([1, 3]);
    expect(() => kept.of('c')).to.throw(RangeError, 'no samples of c');
  });
});
