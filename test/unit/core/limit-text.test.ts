/** What people may write for a limit, and what they read if it is none. */
import { expect } from 'chai';
import fc from 'fast-check';
import { InvalidRequest } from '../../../core/errors.ts';
import type { RateLimit } from '../../../core/limit.ts';
import {
  formatLimit,
  keptText,
  LIMIT_KEYS,
  type LimitTexts,
  limitKey,
  parseLimit,
  textsOf,
} from '../../../core/limit-text.ts';
import { formatRate, parseRate } from '../../../core/rate.ts';
import { formatBurst, parseBurst } from '../../../core/size.ts';

const parse = (texts: LimitTexts): RateLimit | undefined => parseLimit(texts, (part) => limitKey('in', part));

function refusal(texts: LimitTexts): string {
  try {
    parse(texts);
  } catch (error) {
    expect(error).to.be.instanceOf(InvalidRequest);
    return (error as Error).message;
  }
  throw new Error(`accepted: ${JSON.stringify(texts)}`);
}

describe('core/limit-text', () => {
  it('has eight keys, four a direction', () => {
    expect(LIMIT_KEYS).to.deep.equal([
      'net_in',
      'net_in_burst',
      'net_in_peak',
      'net_in_min',
      'net_out',
      'net_out_burst',
      'net_out_peak',
      'net_out_min',
    ]);
  });

  it('picks the texts of one direction', () => {
    const texts = { net_in: '5mbit', net_in_burst: '64kb', net_out_min: '1mbit' };
    expect(textsOf('in', texts)).to.deep.equal({ rate: '5mbit', burst: '64kb' });
    expect(textsOf('out', texts)).to.deep.equal({ min: '1mbit' });
  });

  it('makes a limit of them', () => {
    expect(parse({ rate: '10mbit' })).to.deep.equal({ rateBitsPerSecond: 10e6 });
    expect(parse({ rate: '10mbit', burst: '64kb', peak: '20mbit', min: '10mbit' })).to.deep.equal({
      rateBitsPerSecond: 10e6,
      burstBytes: 65_536,
      peakBitsPerSecond: 20e6,
      minBitsPerSecond: 10e6,
    });
    for (const rate of ['0', 'none', 'NONE', '', '  ', undefined])
      expect(parse(rate === undefined ? {} : { rate, burst: '', peak: ' ', min: '0' })).to.equal(undefined);
  });

  it('writes it for people', () => {
    expect(formatLimit(parse({ rate: '500', burst: '64kb', peak: '1gbit', min: '100' }))).to.equal(
      '500kbit, burst 64kb, peak 1gbit, at least 100kbit',
    );
    expect(formatLimit(undefined)).to.equal('none');
  });

  const refused: readonly (readonly [LimitTexts, string])[] = [
    [
      { rate: '10mbps' },
      'net_in: rate "10mbps" may mean bits or bytes a second: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
    [
      { rate: '-5' },
      'net_in: rate "-5" is no number with a unit: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
    [
      { rate: '1e9' },
      'net_in: rate "1e9" is no number with a unit: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
    [
      { rate: 'abc' },
      'net_in: rate "abc" is no number with a unit: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
    [
      { rate: 'x'.repeat(10_000) },
      `net_in: rate "${'x'.repeat(37)}..." is no number with a unit: write 500 (kbit/s), 100mbit, 1.5gbit or none`,
    ],
    [
      { rate: '10mbit 5kbit' },
      'net_in: rate "10mbit 5kbit" is no number with a unit: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
    [
      { rate: '10mbit\n' + '\u001b[31m5' },
      'net_in: rate "10mbit??[31m5" is no number with a unit: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
    [{ burst: '64kb' }, 'net_in_burst: it means nothing without a limit: give net_in too, or leave it out'],
    [
      { rate: 'none', min: '5mbit' },
      'net_in_min: it means nothing without a limit: give net_in too, or leave it out',
    ],
    [
      { rate: '10mbit', peak: '10mbit' },
      'net_in_peak: peak 10mbit is not above the limit 10mbit: write a larger one, or leave it out',
    ],
    [
      { rate: '10mbit', min: '11mbit' },
      'net_in_min: 11mbit for sure is more than the limit 10mbit: write at most that',
    ],
    [
      { rate: '100kbit', burst: '1mb' },
      'net_in_burst: burst 1mb is more than 60 s of 100kbit: write a smaller one, or leave it out',
    ],
    [
      { rate: '100mbit', burst: '1m' },
      'net_in_burst: burst "1m" may mean bits, and a burst is a size in bytes: write 15140 (bytes), 64kb or 1mb',
    ],
    [
      { rate: '100mbit', burst: '64kbit' },
      'net_in_burst: burst "64kbit" may mean bits, and a burst is a size in bytes: write 15140 (bytes), 64kb or 1mb',
    ],
    [
      { rate: '100mbit', burst: '15139' },
      'net_in_burst: burst "15139" is not from 15140 (ten frames) to 256mb: write 15140 (bytes), 64kb or 1mb',
    ],
    [
      { rate: '100mbit', burst: '1gb' },
      'net_in_burst: burst "1gb" has the unknown unit gb: write 15140 (bytes), 64kb or 1mb',
    ],
    [
      { rate: '10mbit', peak: '20mbps' },
      'net_in_peak: rate "20mbps" may mean bits or bytes a second: write 500 (kbit/s), 100mbit, 1.5gbit or none',
    ],
  ];
  for (const [texts, message] of refused) {
    it(`refuses ${JSON.stringify(texts).slice(0, 60)} with its reason`, () => {
      expect(refusal(texts)).to.equal(message);
    });
  }

  it('is not led astray by names of the language', () => {
    for (const unit of ['constructor', 'tostring', 'valueof', '__proto__']) {
      expect(() => parseRate(`5${unit}`), unit).to.throw(InvalidRequest);
      expect(() => parseBurst(`15140${unit}`), unit).to.throw(InvalidRequest);
    }
  });

  it('either reads a text as a limit within its bounds, or refuses it with one short printable line', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.stringMatching(/^ ?[0-9]{0,13}[.]?[0-9]{0,3} ?[kmgKM]?i?(bit|b|B|bps|b[/]s|)$/),
      fc.constantFrom('0', 'none', '', '10mbit', '500', '64kb', '1mib', '20mbit', '5mbit'),
    );
    const part = fc.option(text, { nil: undefined });
    fc.assert(
      fc.property(part, part, part, part, (rate, burst, peak, min) => {
        const texts = Object.fromEntries(
          Object.entries({ rate, burst, peak, min }).filter(([, value]) => value !== undefined),
        ) as LimitTexts;
        let limit: RateLimit | undefined;
        try {
          limit = parse(texts);
        } catch (error) {
          expect(error).to.be.instanceOf(InvalidRequest);
          expect((error as Error).message).to.match(/^net_in(_burst|_peak|_min)?: [\x20-\x7e]{1,280}$/);
          return;
        }
        if (limit === undefined) {
          expect(['', '0', 'none']).to.include((rate ?? '').trim().toLowerCase());
          return;
        }
        const { rateBitsPerSecond, burstBytes = 15_140, peakBitsPerSecond, minBitsPerSecond } = limit;
        expect(Number.isSafeInteger(rateBitsPerSecond)).to.equal(true);
        expect(rateBitsPerSecond).to.be.within(8e3, 100e9);
        expect(burstBytes).to.be.within(15_140, 256 * 1024 ** 2);
        if (peakBitsPerSecond !== undefined) expect(peakBitsPerSecond).to.be.above(rateBitsPerSecond);
        if (minBitsPerSecond !== undefined) expect(minBitsPerSecond).to.be.within(8e3, rateBitsPerSecond);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 8e3, max: 100e9 }), (bits) => {
        expect(parseRate(formatRate(bits))).to.equal(bits);
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 15_140, max: 256 * 1024 ** 2 }), (bytes) => {
        expect(parseBurst(formatBurst(bytes))).to.equal(bytes);
      }),
    );
  });

  it('keeps long texts short, and what was wrong stays wrong', () => {
    expect(keptText(' 10mbit ')).to.equal('10mbit');
    for (const text of ['x'.repeat(10_000), `10mbit${' '.repeat(200)}x`, '9'.repeat(300)]) {
      const kept = keptText(text);
      expect(kept).to.have.length.at.most(64);
      expect(() => parseRate(kept)).to.throw(InvalidRequest);
    }
  });
});

describe('core/size', () => {
  it('reads bytes and multiples of 1024', () => {
    const texts = ['15140', '15140b', '64kb', '64KiB', '1.5mb', '1MiB', '256mb'];
    expect(texts.map(parseBurst)).to.deep.equal([
      15_140,
      15_140,
      65_536,
      65_536,
      1_572_864,
      1_048_576,
      256 * 1024 ** 2,
    ]);
    expect([15_140, 65_536, 1_048_576].map(formatBurst)).to.deep.equal(['15140', '64kb', '1mb']);
  });

  it('refuses what could be bits, is too small, or no size', () => {
    for (const text of ['64k', '1m', '1g', '64kbit', '-1', '1e5', '', '0', 'none', '15139', '257mb', '1kb2'])
      expect(() => parseBurst(text), text).to.throw(InvalidRequest, /^burst "/);
  });
});
