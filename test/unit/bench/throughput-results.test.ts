import { expect } from 'chai';
import { type Rates, throughputResults } from '../../../bench/throughput-results.ts';

function rates(lanius: number, builtIn: number): Rates {
  return { 'lanius-macvlan': lanius, 'builtin-macvlan': builtIn, 'lanius-bridge': 8, host: 16 };
}

describe('bench/throughput-results', () => {
  it('judges the medians of Lanius macvlan against built-in macvlan', () => {
    const [good] = throughputResults([rates(9.9, 10), rates(1, 10), rates(11, 10)]);
    expect(good).to.include({ id: 'throughput.lanius-macvlan', value: 9.9, ratio: 0.99, ok: true });
    const [bad] = throughputResults([rates(9.7, 10)]);
    expect(bad).to.include({ ratio: 0.97, limit: '>= 0.98', ok: false });
  });

  it('tells the others against the hosts themselves, without judging', () => {
    const bridge = throughputResults([rates(9, 10)]).find(({ id }) => id === 'throughput.lanius-bridge');
    expect(bridge).to.include({ ratio: 0.5, limit: null, ok: true });
  });
});
