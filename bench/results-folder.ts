/** The recorded runs: one file a benchmark in bench/results/, and the page that is made of them. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { benchmarksPage, type RecordedReport, type Report } from './report.ts';

const FOLDER = 'bench/results';
const PAGE = 'docs/benchmarks.md';

/**
 * Keeps a full run.
 * @param root folder of the checkout
 * @param loadBefore load average of a minute, when it began
 * @returns the file
 */
export function record(root: string, report: Report, loadBefore: number): string {
  const recorded: RecordedReport = {
    ...report,
    date: new Date().toISOString(),
    kernel: release(),
    node: process.version,
    cpus: cpus().length,
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    load: { before: load(loadBefore), after: load(loadavg()[0] ?? 0) },
  };
  const file = join(root, FOLDER, `${report.bench}.json`);
  mkdirSync(join(root, FOLDER), { recursive: true });
  writeFileSync(file, `${JSON.stringify(recorded, null, 2)}\n`);
  return file;
}

/** What docs/benchmarks.md must be. @param root folder of the checkout */
export function benchmarksDoc(root: string): string {
  const files = readdirSync(join(root, FOLDER)).filter((file) => file.endsWith('.json'));
  // Written by `record` only, so by its type.
  const reports = files.map(
    (file) => JSON.parse(readFileSync(join(root, FOLDER, file), 'utf8')) as RecordedReport,
  );
  return benchmarksPage(reports);
}

/** Writes docs/benchmarks.md. @param root folder of the checkout @returns the file */
export function writeBenchmarksDoc(root: string): string {
  writeFileSync(join(root, PAGE), benchmarksDoc(root));
  return PAGE;
}

function load(average: number): number {
  return Math.round(average * 100) / 100;
}
