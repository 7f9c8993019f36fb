import { expect } from 'chai';
import {
  benchmarksPage,
  exitStatus,
  jsonLine,
  type RecordedReport,
  reportOf,
  resultOf,
  sentenceOf,
} from '../../../bench/report.ts';

const compared = (value: number, atMost?: number) =>
  resultOf({
    id: 'run.28.5.median',
    what: 'docker run',
    value,
    unit: 's',
    reference: { what: 'built-in macvlan', value: 0.9 },
    ...(atMost === undefined ? {} : { atMost }),
  });
const plain = (value: number, atMost?: number) =>
  resultOf({ id: 'a', what: 'b', value, unit: 'ms', ...(atMost === undefined ? {} : { atMost }) });

describe('bench/report', () => {
  it('judges the ratio where there is a reference', () => {
    expect(compared(1.1, 1.1)).to.deep.equal({
      id: 'run.28.5.median',
      what: 'docker run',
      value: 1.1,
      unit: 's',
      reference: { what: 'built-in macvlan', value: 0.9 },
      ratio: 1.222,
      limit: '<= 1.10',
      ok: false,
    });
    expect(compared(0.95, 1.1).ok).to.equal(true);
  });

  it('judges the value where there is none', () => {
    expect(plain(5, 5).ok).to.equal(true);
    expect(plain(5.1, 5).ok).to.equal(false);
    expect(plain(5)).to.not.have.any.keys('reference', 'ratio');
  });

  it('judges lower limits, too', () => {
    const atLeast = (value: number) => resultOf({ id: 'a', what: 'b', value, unit: '1/s', atLeast: 3 });
    expect(atLeast(3)).to.include({ limit: '>= 3.00', ok: true });
    expect(atLeast(2.9).ok).to.equal(false);
    expect(atLeast(Number.NaN).ok).to.equal(false);
    const reference = { what: 'raw put', value: 10 };
    const ratio = resultOf({ id: 'a', what: 'b', value: 29, unit: '1/s', reference, atLeast: 3 });
    expect(ratio).to.include({ ratio: 2.9, ok: false });
  });

  it('judges before it rounds', () => {
    expect(plain(1.100049, 1.1)).to.include({ value: 1.1, ok: false });
  });

  it('lets what has no limit pass, but not what is no figure', () => {
    expect(compared(100)).to.include({ limit: null, ok: true });
    expect(plain(Number.NaN).ok).to.equal(false);
    expect(plain(Number.NaN, 1).ok).to.equal(false);
  });

  it('is ok, with status 0, if every result is', () => {
    const good = reportOf('run', 'abc1234', [compared(0.9, 1.1), plain(1)]);
    expect([good.ok, exitStatus(good)]).to.deep.equal([true, 0]);
    const bad = reportOf('run', 'abc1234', [compared(2, 1.1), plain(1)]);
    expect([bad.ok, exitStatus(bad)]).to.deep.equal([false, 1]);
  });

  it('refuses a report without results, or with two of one id', () => {
    expect(() => reportOf('run', 'x', [])).to.throw(RangeError, 'no results');
    expect(() => reportOf('run', 'x', [plain(1), plain(2)])).to.throw(RangeError, 'two results a');
  });

  it('prints one line of JSON', () => {
    const report = reportOf('run', 'abc1234', [compared(0.9, 1.1)]);
    expect(jsonLine(report)).to.not.include('\n');
    expect(JSON.parse(jsonLine(report))).to.deep.equal(report);
    expect(Object.keys(report)).to.deep.equal(['bench', 'commit', 'results', 'ok']);
  });

  it('says a result in a sentence', () => {
    expect(sentenceOf(compared(1.1, 1.1))).to.equal(
      'run.28.5.median: 1.1 s, built-in macvlan 0.9 s, ratio 1.222 (<= 1.10: NOT OK)',
    );
    expect(sentenceOf(plain(3))).to.equal('a: 3 ms');
  });
});

describe('bench/report benchmarksPage', () => {
  const recorded = (bench: string, ...results: Parameters<typeof reportOf>[2][number][]): RecordedReport => ({
    ...reportOf(bench, 'abc1234', results),
    date: '2026-01-02T03:04:05.000Z',
    kernel: '6.1.0',
    node: 'v20.19.0',
    cpus: 2,
    cpuModel: 'CPU',
    load: { before: 0.1, after: 1.5 },
  });

  it('has a section a benchmark in alphabetical order, each with its command and its machine', () => {
    const page = benchmarksPage([recorded('run', plain(1)), recorded('plugin', plain(2))]);
    expect(page.match(/^## .*/gm)).to.deep.equal(['## plugin', '## run']);
    expect(page).to.include('`npm run build && npm run bench -- run`');
    expect(page).to.include(
      'Measured 2026-01-02T03:04:05.000Z at commit abc1234, kernel 6.1.0, Node v20.19.0, 2 × CPU',
    );
  });

  it('has a row a figure, and says where a limit is missed', () => {
    const page = benchmarksPage([recorded('run', compared(1.1, 1.1), plain(3))]);
    expect(page).to.include(
      '| `run.28.5.median` | docker run | 1.1 s | 0.9 s (built-in macvlan) | 1.222 | <= 1.10: **not ok** |\n',
    );
    expect(page).to.include('| `a` | b | 3 ms |  |  |  |\n');
  });

  it('keeps the table whole whatever a text holds', () => {
    expect(benchmarksPage([recorded('run', { ...plain(1), what: 'a | b' })])).to.include('a \\| b');
  });

  it('says so if nothing was recorded', () => {
    expect(benchmarksPage([])).to.include('Nothing was recorded yet.');
  });
});
