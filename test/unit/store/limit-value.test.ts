import { expect } from 'chai';
import { limitValue, readLimit } from '../../../store/limit-value.ts';

describe('store/limit-value', () => {
  it('reads the documented values', () => {
    expect(readLimit('k', '{"v":1,"rate":"100mbit"}')).to.deep.equal({ limit: { rateBitsPerSecond: 100e6 } });
    expect(readLimit('k', '{"v":1,"rate":"none"}')).to.deep.equal({});
    expect(
      readLimit('k', '{"v":1,"rate":"100mbit","burst":"64kb","peak":"1gbit","min":"10mbit"}'),
    ).to.deep.equal({
      limit: {
        rateBitsPerSecond: 100e6,
        burstBytes: 65536,
        peakBitsPerSecond: 1e9,
        minBitsPerSecond: 10e6,
      },
    });
  });

  it('tells in one line what is wrong with a damaged or foreign value, and never throws', () => {
    const values = ['', 'x', '100mbit', '{}', '[]', 'null', '{"v":2,"rate":"1mbit"}', '{"v":1,"rate":100}']
      .concat(['{"v":1,"rate":"10mbps"}', '{"v":1,"rate":"-5"}', `{"v":1,"rate":"${'9'.repeat(10_000)}"}`])
      .concat(['{"v":1,"rate":"1mbit","burst":"much"}', '{"v":1,"rate":"1mbit","burst":"1"}'])
      .concat(['{"v":1,"rate":"none","burst":"64kb"}', '{"v":1,"rate":"1mbit","peak":"500kbit"}'])
      .concat(['{"v":1,"rate":"1mbit","min":"2mbit"}', '{"v":1,"rate":"1mbit","burst":"1constructor"}']);
    for (const value of values) {
      const { limit, problem } = readLimit('/lanius/v1/limits/name/web/in', value);
      expect(limit, value).to.equal(undefined);
      expect(problem, value).to.be.a('string');
      expect(problem).to.have.length.within(10, 500).and.not.include('\n');
    }
  });

  it('writes what it reads', () => {
    for (const [texts, value] of [
      [{ rate: '1500' }, '{"v":1,"rate":"1500kbit"}'],
      [{ rate: '0' }, '{"v":1,"rate":"none"}'],
      [
        { rate: '1.5GBIT', burst: ' 1mb', peak: '2gbit', min: '' },
        '{"v":1,"rate":"1500mbit","burst":"1mb","peak":"2gbit"}',
      ],
    ] as const) {
      expect(limitValue(texts)).to.equal(value);
      expect(readLimit('k', value).problem).to.equal(undefined);
    }
    expect(() => limitValue({ rate: '10mbps' })).to.throw(/^rate: rate "10mbps" may mean bits or bytes/);
  });
});
