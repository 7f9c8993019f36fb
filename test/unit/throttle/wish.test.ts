/** Who decides about a limit, and what becomes of values that nobody can read. */
import { expect } from 'chai';
import fc from 'fast-check';
import { LIMIT_SOURCES, type LimitSource } from '../../../core/limit.ts';
import { limitsOf, problemsOf, type WishSources, wishOf } from '../../../throttle/wish.ts';

const mbit = (n: number) => ({ rateBitsPerSecond: n * 1e6 });

/** Every source says a rate of its own for `in`. */
const ALL: WishSources = {
  override: { in: { limit: mbit(1), modRevision: 5 } },
  endpoint: { net_in: '2mbit' },
  container: { env: { net_in: '3mbit' }, labels: { 'lanius.net_in': '4mbit' } },
  network: { net_in: '5mbit' },
  pool: { net_in: '6mbit' },
  cap: { in: mbit(7) },
  enforce: 'sandbox',
};

/** As people have it before they say anything. */
const NOTHING: WishSources = { container: { env: {}, labels: {} }, enforce: 'sandbox' };

function without(sources: WishSources, source: LimitSource): WishSources {
  const container = sources.container ?? { env: {}, labels: {} };
  if (source === 'env') return { ...sources, container: { ...container, env: {} } };
  if (source === 'label') return { ...sources, container: { ...container, labels: {} } };
  const { [source]: _, ...rest } = sources;
  return rest;
}

describe('throttle/wish', () => {
  it('takes the strongest source; the cap does not count where the container is known', () => {
    let sources = ALL;
    for (const [index, source] of LIMIT_SOURCES.slice(0, -1).entries()) {
      const wish = wishOf(sources);
      expect(wish.in, source).to.deep.equal({ limit: mbit(index + 1), source, problems: [] });
      expect(wish.out).to.deep.equal({ problems: [] });
      sources = without(sources, source);
    }
    expect(wishOf(sources).in).to.deep.equal({ problems: [] });
  });

  it('counts the cap while the container is not known, unless something weaker than the container decides', () => {
    const cap = { in: mbit(7), out: mbit(8) };
    expect(wishOf({ cap, enforce: 'sandbox' })).to.deep.equal({
      in: { limit: mbit(7), source: 'cap', problems: [] },
      out: { limit: mbit(8), source: 'cap', problems: [] },
    });
    const wish = wishOf({ cap, network: { net_in: '50mbit', net_out: 'none' }, enforce: 'sandbox' });
    expect(wish.in).to.deep.equal({ limit: mbit(50), source: 'network', problems: [] });
    expect(wish.out).to.deep.equal({ source: 'network', problems: [] });
  });

  it('decides each direction for itself', () => {
    const wish = wishOf({ ...NOTHING, endpoint: { net_in: '1mbit' }, network: { net_out: '9mbit' } });
    expect(wish.in.source).to.equal('endpoint');
    expect(wish.out.source).to.equal('network');
    expect(limitsOf(wish)).to.deep.equal({ in: mbit(1), out: mbit(9) });
  });

  for (const text of ['0', 'none', '', ' None ']) {
    it(`takes "${text}" as the decision that there is no limit`, () => {
      const wish = wishOf({
        ...NOTHING,
        container: { env: { net_in: text }, labels: {} },
        network: { net_in: '5mbit' },
      });
      expect(wish.in).to.deep.equal({ source: 'env', problems: [] });
    });
  }

  it('lets an override without a limit stop everybody', () => {
    expect(wishOf({ ...ALL, override: { in: { modRevision: 1 } } }).in).to.deep.equal({
      source: 'override',
      problems: [],
    });
  });

  it('mixes nothing: burst, peak and min come from where the rate comes from', () => {
    const wish = wishOf({
      ...NOTHING,
      container: { env: { net_in: '3mbit' }, labels: { 'lanius.net_in': '4mbit' } },
      network: { net_in: '5mbit', net_in_burst: '64kb' },
    });
    expect(wish.in.limit).to.deep.equal(mbit(3));
    const label = wishOf({
      ...NOTHING,
      container: { env: {}, labels: { 'lanius.net_out': '4mbit', 'lanius.net_out_burst': '64kb' } },
    });
    expect(label.out.limit).to.deep.equal({ ...mbit(4), burstBytes: 65_536 });
  });

  it('tells a bad value and lets the next weaker source decide', () => {
    const wish = wishOf({
      ...ALL,
      override: { in: { problem: 'limits/x/in: not JSON', modRevision: 3 } },
      endpoint: { net_in: '10mbps' },
      container: { env: { NET_IN: '-5' }, labels: { 'lanius.net_in': '1e9' } },
    });
    expect(wish.in.limit).to.deep.equal(mbit(5));
    expect(wish.in.source).to.equal('network');
    const how = 'write 500 (kbit/s), 100mbit, 1.5gbit or none';
    expect(problemsOf(wish)).to.deep.equal([
      'limits/x/in: not JSON',
      `--driver-opt net_in: rate "10mbps" may mean bits or bytes a second: ${how}`,
      `env NET_IN: rate "-5" is no number with a unit: ${how}`,
      `label lanius.net_in: rate "1e9" is no number with a unit: ${how}`,
    ]);
  });

  it('counts the cap where a stronger source cannot be read and no other decides', () => {
    const wish = wishOf({
      cap: { in: mbit(7), out: mbit(8) },
      container: { env: { net_in: 'abc', net_out: '9mbit' }, labels: {} },
      enforce: 'sandbox',
    });
    expect(wish.in.source).to.equal('cap');
    expect(wish.in.problems).to.have.length(1);
    expect(wish.out.source).to.equal('env');
  });

  it('takes a burst without a rate as a bad value', () => {
    const wish = wishOf({ ...NOTHING, endpoint: { net_in_burst: '64kb' }, network: { net_in: '5mbit' } });
    expect(wish.in).to.deep.equal({
      limit: mbit(5),
      source: 'network',
      problems: [
        '--driver-opt net_in_burst: it means nothing without a limit: give --driver-opt net_in too, or leave it out',
      ],
    });
  });

  it('takes both spellings in the environment; where they differ the small letters count, and it is told', () => {
    const of = (env: Record<string, string>) =>
      wishOf({ ...NOTHING, container: { env, labels: { NET_IN: '1mbit', net_in: '1mbit' } } }).in;
    expect(of({ NET_IN: '5mbit' }).limit).to.deep.equal(mbit(5));
    expect(of({ NET_IN: '5mbit', net_in: '5mbit' })).to.deep.equal({
      limit: mbit(5),
      source: 'env',
      problems: [],
    });
    expect(of({ NET_IN: '5mbit', net_in: '6mbit' })).to.deep.equal({
      limit: mbit(6),
      source: 'env',
      problems: ['env net_in: "6mbit" counts, but NET_IN says "5mbit": leave one of them out'],
    });
    expect(of({ net_in: '5mbit', NET_IN_BURST: '64kb' }).limit).to.deep.equal({
      ...mbit(5),
      burstBytes: 65_536,
    });
    expect(of({ Net_In: '5mbit' })).to.deep.equal({ problems: [] });
  });

  it('drops a share for sure where the host does not enforce, and tells it', () => {
    const sources = { ...NOTHING, endpoint: { net_in: '5mbit', net_in_min: '1mbit' } };
    expect(wishOf({ ...sources, enforce: 'host' }).in.limit).to.deep.equal({
      ...mbit(5),
      minBitsPerSecond: 1e6,
    });
    const wish = wishOf(sources);
    expect(wish.in.limit).to.deep.equal(mbit(5));
    expect(wish.in.problems).to.deep.equal([
      '--driver-opt net_in_min: a share for sure exists only on networks with -o enforce=host: leave it out, or use such a network',
    ]);
  });

  const text = fc.oneof(
    fc.constantFrom('10mbit', '0', 'none', '', '10mbps', '-5', '1e9', 'abc', '1mbit1kbit'),
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constant('9'.repeat(10_000)),
  );
  const keyed = fc.dictionary(
    fc.constantFrom('net_in', 'net_in_burst', 'net_in_peak', 'net_in_min', 'net_out', 'NET_IN', '__proto__'),
    text,
  );
  const labels = fc.dictionary(fc.constantFrom('lanius.net_in', 'lanius.net_in_burst'), text);
  const anySources = fc.record(
    {
      endpoint: keyed,
      container: fc.record({ env: keyed, labels }),
      network: keyed,
      pool: keyed,
      cap: fc.constant({ in: mbit(7), out: mbit(7) }),
      enforce: fc.constantFrom('sandbox' as const, 'host' as const),
    },
    { requiredKeys: ['enforce'] },
  );

  it('never throws, and what it tells is one printable line each', () => {
    fc.assert(
      fc.property(anySources, (sources) => {
        for (const problem of problemsOf(wishOf(sources as WishSources)))
          expect(problem).to.match(/^[\x20-\x7e]{1,400}$/);
      }),
    );
  });

  it('is never without a limit although somebody said one, without saying why', () => {
    fc.assert(
      fc.property(anySources, (sources) => {
        const wish = wishOf(sources as WishSources);
        for (const { limit, source, problems } of [wish.in, wish.out]) {
          if (limit !== undefined) expect(source).to.not.equal(undefined);
          if (limit === undefined && source === undefined && problems.length > 0)
            expect(sources.cap).to.equal(undefined);
        }
        if (wish.in.limit !== undefined || wish.in.problems.length > 0) return;
        const { source } = wish.in;
        const env = sources.container?.env;
        const said = {
          endpoint: sources.endpoint?.['net_in'],
          env: env?.['net_in'] ?? env?.['NET_IN'],
          label: sources.container?.labels['lanius.net_in'],
          network: sources.network?.['net_in'],
          pool: sources.pool?.['net_in'],
        };
        if (source === undefined || !(source in said)) return;
        expect(['', '0', 'none']).to.include(said[source as keyof typeof said]?.trim().toLowerCase());
      }),
    );
  });

  it('does not care what weaker sources say', () => {
    fc.assert(
      fc.property(anySources, keyed, (sources, other) => {
        const wish = wishOf(sources as WishSources);
        if (wish.in.source !== 'endpoint' && wish.in.source !== 'env') return;
        expect(wishOf({ ...sources, network: other, pool: other } as WishSources).in).to.deep.equal(wish.in);
      }),
    );
  });
});
