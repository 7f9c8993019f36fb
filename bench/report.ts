/**
 * What a benchmark found, as the line of JSON that ends its output, as an exit status, and as a page of docs.
 * Pure: measures nothing, reads and writes nothing.
 */
import { significant } from './statistics.ts';

export interface Result {
  /** Unique in its benchmark, stable over time: `run.28.5.median`. */
  readonly id: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** What the value is compared with; measured in the same run, interleaved. */
  readonly reference?: { readonly what: string; readonly value: number };
  /** value / reference. */
  readonly ratio?: number;
  /** On the ratio if there is one, else on the value: `<= 1.10`, `>= 3.00`; null = for information. */
  readonly limit: string | null;
  readonly ok: boolean;
}

export interface Report {
  readonly bench: string;
  readonly commit: string;
  readonly results: readonly Result[];
  /** Every result is. */
  readonly ok: boolean;
}

/** A full run that is kept, with the machine that it was measured on. */
export interface RecordedReport extends Report {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly kernel: string;
  readonly node: string;
  readonly cpus: number;
  readonly cpuModel: string;
  /** Load average of a minute at the start and the end: tells what else ran. */
  readonly load: { readonly before: number; readonly after: number };
}

export interface Measurement {
  readonly id: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly reference?: { readonly what: string; readonly value: number };
  /** Largest good ratio, or value if there is no reference; without this and `atLeast`: for information. */
  readonly atMost?: number;
  /** Smallest good one; not together with `atMost`. */
  readonly atLeast?: number;
}

/** Judges one measurement; figures get four significant digits, but the judgement is made before. */
export function resultOf(measurement: Measurement): Result {
  const { id, what, value, unit, reference, atMost, atLeast } = measurement;
  const ratio = reference === undefined ? undefined : value / reference.value;
  const judged = ratio ?? value;
  return {
    id,
    what,
    value: significant(value),
    unit,
    ...(reference === undefined || ratio === undefined
      ? {}
      : { reference: { ...reference, value: significant(reference.value) }, ratio: significant(ratio) }),
    limit: limitText(measurement),
    // a figure that is none (NaN) is not good
    ok:
      Number.isFinite(value) &&
      !(atMost !== undefined && !(judged <= atMost)) &&
      !(atLeast !== undefined && !(judged >= atLeast)),
  };
}

function limitText({ atMost, atLeast }: Measurement): string | null {
  if (atMost !== undefined) return `<= ${atMost.toFixed(2)}`;
  return atLeast === undefined ? null : `>= ${atLeast.toFixed(2)}`;
}

/** @throws RangeError if there are no results, or two with one id */
export function reportOf(bench: string, commit: string, results: readonly Result[]): Report {
  if (results.length === 0) throw new RangeError(`benchmark ${bench} has no results`);
  const ids = results.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined) throw new RangeError(`benchmark ${bench} has two results ${twice}`);
  return { bench, commit, results, ok: results.every(({ ok }) => ok) };
}

/** One line, without line feed. */
export function jsonLine(report: Report): string {
  return JSON.stringify(report);
}

export function exitStatus(report: Report): 0 | 1 {
  return report.ok ? 0 : 1;
}

/** One result for people. */
export function sentenceOf(result: Result): string {
  const { id, value, unit, reference, ratio, limit, ok } = result;
  const compared =
    reference === undefined ? '' : `, ${reference.what} ${reference.value} ${unit}, ratio ${ratio}`;
  const judged = limit === null ? '' : ` (${limit}: ${ok ? 'ok' : 'NOT OK'})`;
  return `${id}: ${value} ${unit}${compared}${judged}`;
}

/** docs/benchmarks.md */
export function benchmarksPage(reports: readonly RecordedReport[]): string {
  const sorted = [...reports].sort((a, b) => (a.bench < b.bench ? -1 : 1));
  const sections = sorted.map(sectionOf);
  return [HEAD, ...(sections.length === 0 ? ['Nothing was recorded yet.\n'] : sections)].join('\n');
}

const HEAD = `<!-- Written by \`npm run bench -- docs\` from bench/results/: record a run anew instead of changing this. -->
# Benchmarks

Each benchmark measures what it is about and a reference **interleaved in one run**, so that whatever else the machine
does meets both. It does not cancel out: a busy machine moves the ratios, too, so record on a quiet one (the load average
is given; a run is a load by itself). Absolute figures are those of the machine named. A limit is on the ratio where
there is one, else on the value; a run that misses a limit exits with status 1. Figures without one are for information.
`;

function sectionOf(report: RecordedReport): string {
  const { bench, commit, date, kernel, node, cpus, cpuModel, load } = report;
  return `## ${bench}

\`npm run build && npm run bench -- ${bench}\`

Measured ${date} at commit ${commit}, kernel ${kernel}, Node ${node}, ${cpus} × ${cpuModel}, load average
${load.before} before and ${load.after} after.

| figure | what | value | reference | ratio | limit |
|---|---|---:|---:|---:|---|
${report.results.map(rowOf).join('')}`;
}

function rowOf({ id, what, value, unit, reference, ratio, limit, ok }: Result): string {
  const compared = reference === undefined ? '' : `${reference.value} ${unit} (${reference.what})`;
  const judged = limit === null ? '' : `${limit}: ${ok ? 'ok' : '**not ok**'}`;
  const cells = [`\`${id}\``, what, `${value} ${unit}`, compared, ratio ?? '', judged];
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |\n`;
}
