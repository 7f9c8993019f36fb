/** Watches the system calls of a running process with all its threads, from outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Strace {
  /** Detaches and resolves to the calls, one a line. */
  stop(): Promise<string[]>;
}

/** Resolves when strace is attached. @param calls names of system calls */
export async function straceOf(pid: number, calls: readonly string[]): Promise<Strace> {
  const folder = mkdtempSync(join(tmpdir(), 'lanius-strace-'));
  const file = join(folder, 'calls');
  const args = ['-f', '-o', file, '-e', `trace=${calls.join(',')}`, '-e', 'signal=none', '-p', String(pid)];
  const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = once(child, 'close');
  let said = '';
  const attached = new Promise<void>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += String(chunk);
      if (/attached/.test(said)) resolve();
    });
  });
  await Promise.race([attached, closed]);
  if (child.exitCode !== null) throw new Error(`strace -p ${pid}: ${said}`);
  return {
    stop: async () => {
      child.kill('SIGINT');
      await closed;
      const lines = readFileSync(file, 'utf8').split('\n');
      rmSync(folder, { recursive: true });
      return lines.filter((line) => line !== '');
    },
  };
}
