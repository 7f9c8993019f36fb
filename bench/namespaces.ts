/**
 * Runs a program of a benchmark as PID 1 of PID, mount and network namespaces of its own, so that no traffic leaves,
 * nothing of the machine's own links is seen, and nothing outlives the run. Its results are the JSON on its stdout.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { distFolder } from '../test/support/checkout.ts';
import type { Result } from './report.ts';

/** What such a program needs. */
export const NEEDS = 'root, unshare (util-linux), ip (iproute2) and etcd';

/** On a disk: /tmp is often memory, where a sync costs nothing. */
const DISK = '/var/tmp';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * @param program in bench/, without `.js`
 * @param optionsOf the program's one argument, as JSON; the folder is empty, on a real disk, and removed at the end
 */
export async function measureInside(
  program: string,
  optionsOf: (folder: string) => object,
): Promise<Result[]> {
  const folder = mkdtempSync(join(process.env['TMPDIR'] ?? DISK, 'lanius-bench-'));
  const path = `${distFolder}/bench/${program}.js`;
  const inside = ['node', '--enable-source-maps', path, JSON.stringify(optionsOf(folder))];
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

/** The whole of the program inside: measures, prints, ends; its end is the end of everything it started. */
export async function programInside<Options>(
  measure: (options: Options) => Promise<Result[]>,
): Promise<never> {
  // PID 1 gets no default signal handling; and its end kills all that it started
  for (const signal of SIGNALS) process.on(signal, () => process.exit(1));
  process.stdin.on('end', () => process.exit(1)).resume();
  try {
    ip('link', 'set', 'lo', 'up');
    const results = await measure(JSON.parse(process.argv[2] ?? '') as Options);
    await new Promise((resolve) => process.stdout.write(`${JSON.stringify(results)}\n`, resolve));
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  }
}

export function ip(...words: readonly string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
}
