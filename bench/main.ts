/**
 * `npm run bench -- NAME`: runs one benchmark and prints its report, one JSON object, as the last line of stdout; what
 * people want to read meanwhile goes to stderr. Exit status 1: a limit is missed, or it could not be measured; 2: wrong
 * words.
 */
import { execFileSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { checkoutFolder } from '../test/support/checkout.ts';
import { allocBenchmark } from './alloc.ts';
import { arpBenchmark } from './arp.ts';
import type { Benchmark } from './benchmark.ts';
import { engineStartBenchmark } from './engine-start.ts';
import { neighBenchmark } from './neigh.ts';
import { pluginBenchmark } from './plugin.ts';
import { reconcileBenchmark } from './reconcile.ts';
import { exitStatus, jsonLine, type Report, reportOf, sentenceOf } from './report.ts';
import { record, writeBenchmarksDoc } from './results-folder.ts';
import { runBenchmark } from './run.ts';
import { scaleBenchmark } from './scale.ts';
import { throttleBenchmark } from './throttle.ts';
import { throughputBenchmark } from './throughput.ts';

const benchmarks: readonly Benchmark[] = [
  runBenchmark,
  engineStartBenchmark,
  pluginBenchmark,
  allocBenchmark,
  reconcileBenchmark,
  scaleBenchmark,
  neighBenchmark,
  arpBenchmark,
  throughputBenchmark,
  throttleBenchmark,
];

const HELP = `npm run bench -- NAME [--quick] [--record] [--help]

${benchmarks.map(({ name, about, needs }) => `  ${name.padEnd(14)}${about}\n${' '.repeat(16)}needs ${needs}\n`).join('')}\
  docs          writes docs/benchmarks.md from the recorded runs

  --quick   few samples: shows that it works, its figures mean little
  --record  keeps the figures in bench/results/NAME.json, also where a limit is missed

Build first (npm run build). The last line of stdout is one JSON object; exit status 1 where a limit is missed.
`;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** @returns the exit status */
async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean' },
      record: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
  });
  const [name, more] = positionals;
  const { quick = false, record: keep = false, help = false } = values;
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (more !== undefined) return wrong(`one benchmark at a time, not also "${more}"`);
  if (name === 'docs') {
    say(`wrote ${writeBenchmarksDoc(checkoutFolder)}`);
    return 0;
  }
  const benchmark = benchmarks.find((one) => one.name === name);
  if (benchmark === undefined) return wrong(`there is no benchmark "${name ?? ''}"`);
  if (quick && keep) return wrong('--quick measures too little to be recorded: leave one of them out');
  const report = await measured(benchmark, quick, keep);
  process.stdout.write(`${jsonLine(report)}\n`);
  return exitStatus(report);
}

async function measured(benchmark: Benchmark, quick: boolean, keep: boolean): Promise<Report> {
  const [loadBefore = 0] = loadavg();
  const report = reportOf(benchmark.name, commit(), await benchmark.measure({ quick, say }));
  for (const result of report.results) say(sentenceOf(result));
  if (keep) say(`recorded in ${record(checkoutFolder, report, loadBefore)}`);
  return report;
}

function wrong(complaint: string): number {
  process.stderr.write(`bench: ${complaint}\n\n${HELP}`);
  return 2;
}

/** Short id of the commit, with `-dirty` if files differ from it; `unknown` outside a repository. */
function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], {
      cwd: checkoutFolder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

/** @returns the exit status for what `main` failed with */
function failed(error: unknown): number {
  const code = error instanceof TypeError && 'code' in error ? String(error.code) : '';
  if (code.startsWith('ERR_PARSE_ARGS') && error instanceof Error) return wrong(error.message);
  say(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
}

process.exitCode = await main(process.argv.slice(2)).catch(failed);
