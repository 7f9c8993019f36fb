/**
 * Time of each plugin call over whole lives of containers: real daemon, real etcd that syncs to disk, real links, but
 * no engine: a client asks in the engine's order and with its headers. All of it is one process tree in PID, mount and
 * network namespaces of its own (plugin-inside.ts), so that no traffic leaves and nothing outlives the run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { distFolder } from '../test/support/checkout.ts';
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import type { InsideOptions } from './plugin-inside.ts';
import type { Result } from './report.ts';

export const pluginBenchmark: Benchmark = {
  name: 'plugin',
  about: 'each plugin call over lives of containers, with 1 and with 16 callers, without an engine',
  needs: 'root, unshare (util-linux), ip (iproute2) and etcd',
  measure,
};

/** On a disk: /tmp is often memory, where a sync costs nothing. */
const DISK = '/var/tmp';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  const folder = mkdtempSync(join(process.env['TMPDIR'] ?? DISK, 'lanius-bench-'));
  const options: InsideOptions = { folder, lives: quick ? 100 : 1000, callers: [1, 16] };
  const inside = [
    'node',
    '--enable-source-maps',
    `${distFolder}/bench/plugin-inside.js`,
    JSON.stringify(options),
  ];
  say('namespaces, etcd and daemon up');
  // Its stdin closes when this process ends in whatever way; then it ends, and with it all of its namespace.
  const child = spawn('unshare', ['--net', '--pid', '--fork', '--kill-child', '--mount-proc', ...inside], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  const end = (): void => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  const leave = (): void => process.exit(1);
  process.once('exit', end);
  for (const signal of SIGNALS) process.once(signal, leave);
  try {
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    if (status !== 0) throw new Error(`the measurement ended with status ${status ?? signal}`);
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as Result[];
  } finally {
    for (const signal of SIGNALS) process.off(signal, leave);
    process.off('exit', end);
    end();
  }
}
