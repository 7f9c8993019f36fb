/**
 * Runs one program to its end and returns what it said. Every child leads a process group of its own, so that a time
 * limit ends the children of the child too.
 */
import { spawn } from 'node:child_process';

export interface RunOptions {
  /** Time limit in ms; 60,000 if absent. */
  readonly timeoutMs?: number;
  /** Text for its stdin; closed if absent. */
  readonly input?: string | Uint8Array;
  /** Added to this process' environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunResult {
  /** Exit status; 128 + signal number if a signal ended it; 127 if there is no such program. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGTERM: 15,
};

/** Runs `command` and resolves whatever its status is; rejects only when the time limit ended it. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = '', ...args] = command;
  const timeoutMs = options.timeoutMs ?? 60_000;
  const child = spawn(program, args, { detached: true, env: { ...process.env, ...options.env } });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(options.input);

  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
  }, timeoutMs);
  const status = await new Promise<number>((resolve) => {
    child.on('error', (error) => {
      stderr.push(Buffer.from(error.message));
      resolve(127);
    });
    child.on('close', (code, signal) => resolve(code ?? 128 + (SIGNALS[signal ?? ''] ?? 0)));
  });
  clearTimeout(timer);

  const result = { status, stdout: text(stdout), stderr: text(stderr) };
  if (timedOut) throw new Error(`${command.join(' ')}: ended after ${timeoutMs} ms; ${lastWords(result)}`);
  return result;
}

/** Like `run`, but a status other than 0 rejects with what the program said. Resolves to its stdout. */
export async function runOk(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, options);
  if (result.status !== 0)
    throw new Error(`${command.join(' ')}: status ${result.status}; ${lastWords(result)}`);
  return result.stdout;
}

/** Signals every process of the group that `pid` leads; a group that is gone is fine. */
export function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // gone already
  }
}

function lastWords(result: RunResult): string {
  return `${result.stderr}${result.stdout}`.trim().slice(-2000) || 'it said nothing';
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8');
}
