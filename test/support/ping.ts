/**
 * A ping in the background that counts losses exactly, to see how long traffic stops while something is restarted.
 *
 * Every packet is known by its sequence number. The program is busybox' ping because it keeps intervals of 10 ms by a
 * timer; iputils' rounds them up to the kernel's tick, or spins. It ends, and `stop` rejects, if the place loses its route.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { killGroup } from './run.ts';

/** A place that commands can be run at: a machine, a sandbox, the machine outside. */
export interface Place {
  /** The command that runs `command` there. */
  command(command: readonly string[]): string[];
}

export interface PingCount {
  readonly sent: number;
  readonly lost: number;
  /** Longest time without an answer, in ms: the longest run of lost packets times the interval. */
  readonly longestGapMs: number;
}

export interface Ping {
  /** Ends the ping and counts. */
  stop(): Promise<PingCount>;
}

/** Unanswered packets at the end are still under way, not lost, unless they span at least this long. */
const UNDER_WAY_MS = 200;

/** Starts to ping `ip` from `place` every `intervalMs`; resolves when it has begun. */
export async function startPing(place: Place, ip: string, intervalMs = 10): Promise<Ping> {
  const [program = '', ...args] = place.command(['busybox', 'ping', '-i', String(intervalMs / 1000), ip]);
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let output = '';
  const first = new Promise<void>((resolve) => {
    const take = (chunk: Buffer) => {
      output += chunk.toString('utf8');
      if (output.includes('PING')) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
  });
  await Promise.race([first, closed]);
  if (child.exitCode !== null) throw new Error(`ping ${ip}: ended at once: ${output.trim()}`);
  return {
    stop: async () => {
      if (child.pid !== undefined) killGroup(child.pid, 'SIGINT');
      await closed;
      return countPings(output, intervalMs);
    },
  };
}

/** Counts the output of busybox' ping. Throws if its last lines, the summary, are missing. */
export function countPings(output: string, intervalMs: number): PingCount {
  const summary = /^(\d+) packets transmitted/m.exec(output);
  if (summary === null) throw new Error(`ping ended without a summary: ${output.trim().slice(-500)}`);
  const transmitted = Number(summary[1]);
  const answered = new Set<number>();
  let rounds = 0; // the number on the wire has 16 bits
  let before = 0;
  for (const match of output.matchAll(/bytes from .*: seq=(\d+) /g)) {
    const onWire = Number(match[1]);
    if (onWire < before - 0x8000) rounds += 1;
    before = onWire;
    answered.add(rounds * 0x1_0000 + onWire + 1); // the first is number 0
  }

  const lastAnswered = Math.max(0, ...[...answered].slice(-1000));
  const tail = transmitted - lastAnswered;
  const sent = tail * intervalMs < UNDER_WAY_MS ? lastAnswered : transmitted;
  let gap = 0;
  let longestGap = 0;
  for (let sequence = 1; sequence <= sent; sequence += 1) {
    gap = answered.has(sequence) ? 0 : gap + 1;
    longestGap = Math.max(longestGap, gap);
  }
  return { sent, lost: sent - answered.size, longestGapMs: longestGap * intervalMs };
}
