import { expect } from 'chai';
import { formatSeconds, parseSeconds } from '../../../core/duration.ts';
import { formatRate, parseRate } from '../../../core/rate.ts';

describe('core/rate', () => {
  const good: readonly (readonly [string, number | undefined, string])[] = [
    ['500', 500_000, '500kbit'],
    ['100mbit', 100_000_000, '100mbit'],
    ['1.5gbit', 1_500_000_000, '1500mbit'],
    ['1GBit', 1_000_000_000, '1gbit'],
    [' 8.5kbit ', 8500, '8.5kbit'],
    ['0', undefined, 'none'],
    ['none', undefined, 'none'],
    ['', undefined, 'none'],
  ];
  for (const [text, bits, canonical] of good) {
    it(`reads "${text}" as ${canonical}, and that as the same`, () => {
      expect(parseRate(text)).to.equal(bits);
      expect(formatRate(bits)).to.equal(canonical);
      expect(parseRate(canonical)).to.equal(bits);
    });
  }

  const bad: readonly (readonly [string, string])[] = [
    ['10mbps', 'may mean bits or bytes'],
    ['10mb/s', 'may mean bits or bytes'],
    ['10mibit', 'not decimal'],
    ['10mib', 'not decimal'],
    ['10tbit', 'unknown unit tbit'],
    ['10m', 'unknown unit m'],
    ['10mb', 'unknown unit mb'],
    ['-5', 'is no number'],
    ['1e9', 'is no number'],
    ['abc', 'is no number'],
    ['1mbit1kbit', 'is no number'],
    ['1', 'is not from 8kbit to 100gbit'],
    ['101gbit', 'is not from 8kbit to 100gbit'],
    ['9'.repeat(10_000), 'is no number'],
  ];
  for (const [text, complaint] of bad) {
    it(`refuses "${text.slice(0, 20)}"`, () => {
      expect(() => parseRate(text)).to.throw(complaint);
    });
  }
});

describe('core/duration', () => {
  it('reads spans and writes them in the largest whole unit', () => {
    const seconds = ['60s', '90', '10m', '12h', '7d', '0'].map(parseSeconds);
    expect(seconds).to.deep.equal([60, 90, 600, 43_200, 604_800, 0]);
    expect(seconds.map(formatSeconds)).to.deep.equal(['1m', '90s', '10m', '12h', '7d', '0s']);
  });

  it('refuses what is none', () => {
    for (const text of ['', '-1', '1.5h', '7w', '1d2h', '99999999999', '9999d']) {
      expect(() => parseSeconds(text), text).to.throw('is not a span of time');
    }
  });
});
