/** Pids of a machine's processes as the world outside counts them, for tools that work from outside (strace). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Machine } from './machine.ts';

/** @throws if the machine has no such process */
export function hostPid(machine: Machine, pid: number): number {
  const [init = ''] = readFileSync(`${machine.home}/pid`, 'utf8').split(' ');
  const space = pidSpace(init.trim());
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && pidSpace(name) === space)
    .find((name) => innermost(name) === pid);
  if (found === undefined) throw new Error(`${machine.name} has no process ${pid}`);
  return Number(found);
}

function pidSpace(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid_for_children`);
  } catch {
    return undefined;
  }
}

function innermost(pid: string): number {
  try {
    const line = /^NSpid:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    return Number(line.trim().split(/\s+/).at(-1));
  } catch {
    return 0;
  }
}
