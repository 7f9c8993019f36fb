import { expect } from 'chai';
import fc from 'fast-check';
import { formatIp, type IpRange, parseCidr, parseIp } from '../../../core/ip.ts';
import { plannedRanges, rangesWithout } from '../../../links/planned-range.ts';

function range(first: string, last = first): IpRange {
  const { family, value } = parseIp(first);
  return { family, first: value, last: parseIp(last).value };
}

function text(ranges: readonly IpRange[]): string[] {
  return ranges.map(
    ({ family, first, last }) => `${formatIp({ family, value: first })}-${formatIp({ family, value: last })}`,
  );
}

describe('links/planned-range', () => {
  const subnet = parseCidr('10.1.0.0/24');

  it('is the whole subnet without network and broadcast address, if the pool names no ranges', () => {
    expect(text(plannedRanges({ subnet, ranges: [], excludes: [] }))).to.deep.equal(['10.1.0.1-10.1.0.254']);
  });

  it('is the ranges of the pool without what is excluded', () => {
    const ranges = [range('10.1.0.200', '10.1.0.255'), range('10.1.0.0', '10.1.0.9')];
    const excludes = [range('10.1.0.5'), range('10.1.0.250', '10.1.0.254'), range('10.1.0.100')];
    expect(text(plannedRanges({ subnet, ranges, excludes }))).to.deep.equal([
      '10.1.0.1-10.1.0.4',
      '10.1.0.6-10.1.0.9',
      '10.1.0.200-10.1.0.249',
    ]);
  });

  it('is nothing if all is excluded', () => {
    expect(plannedRanges({ subnet, ranges: [], excludes: [range('10.0.0.0', '10.2.0.0')] })).to.deep.equal(
      [],
    );
  });

  it('has exactly the addresses that are in a range and in no excluded one', () => {
    const one = fc
      .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 12 }))
      .map(([first, size]): IpRange => ({ family: 4, first: BigInt(first), last: BigInt(first + size - 1) }));
    const has = (ranges: readonly IpRange[], at: bigint): boolean =>
      ranges.some(({ first, last }) => first <= at && at <= last);
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), fc.array(one, { maxLength: 6 }), (ranges, excluded) => {
        const left = rangesWithout(ranges, excluded);
        for (let at = 0n; at < 80n; at++) {
          expect(has(left, at), String(at)).to.equal(has(ranges, at) && !has(excluded, at));
        }
        for (const [index, { first, last }] of left.entries()) {
          expect(first <= last && (index === 0 || first > (left[index - 1]?.last ?? 0n))).to.equal(true);
        }
      }),
    );
  });
});
