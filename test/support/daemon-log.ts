/** The daemon's log on a machine of the lab, line by line. */
import type { Machine } from './machine.ts';

export interface LogLine {
  readonly time: string;
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly msg: string;
  readonly method?: string;
  readonly outcome?: string;
  readonly code?: string;
  readonly pid?: number;
  readonly err?: { readonly code?: string; readonly message?: string };
}

/** All of it since the lab was made; what the runtime itself wrote (no JSON) counts as an error. */
export async function daemonLog(machine: Machine): Promise<LogLine[]> {
  const lines = (await machine.log('lanius')).split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    try {
      return JSON.parse(line) as LogLine;
    } catch {
      return { time: '', level: 'error', msg: line, code: 'internal' };
    }
  });
}

/** Calls of the engine, or of a test, that the daemon has answered. */
export async function countCalls(machine: Machine, method: string): Promise<number> {
  return (await daemonLog(machine)).filter((line) => line.msg === 'plugin call' && line.method === method)
    .length;
}

/** Lines that only a bug writes. */
export async function bugs(machine: Machine): Promise<LogLine[]> {
  return (await daemonLog(machine)).filter(
    ({ code, err }) => code === 'internal' || err?.code === 'internal',
  );
}

/** The daemon's pid, in the machine's own numbers. */
export async function daemonPid(machine: Machine): Promise<number> {
  return Number(await machine.sh('cat /run/lab-lanius.pid'));
}
