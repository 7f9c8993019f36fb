/** One load through a limit: iperf3 beside a ping, and what the kernel counted meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestNamespace } from '../test/netns/namespace.ts';
import { PEER, PEER_IPV6, type ShapedHost } from '../test/netns/shaped-host.ts';
import { until } from '../test/support/poll.ts';
import { run, runOk } from '../test/support/run.ts';
import { median, percentile } from './statistics.ts';

export interface Load {
  readonly direction: 'in' | 'out';
  readonly protocol: 'tcp' | 'udp';
  readonly streams: number;
  readonly family: 4 | 6;
  /** The limit; UDP is sent at 1.3 times of it. */
  readonly megabits: number;
  readonly warmUpMs: number;
  readonly windowMs: number;
}

export interface LoadFigures {
  /** Mbit/s, by the counter that was given. */
  readonly achieved: number;
  /** Mbit/s of payload, by iperf3, over all of its time but the first second. */
  readonly goodput: number;
  /** Round trips while it was loaded. */
  readonly pingMs: { readonly median: number; readonly p95: number };
}

const PORT = '5300';
const UDP_SURPLUS = 1.3;
const FRAGMENTED_MEGABITS = 1000;
const PING_INTERVAL_SECONDS = 0.05;

/** The far end; for all loads of a host, one after the other. */
export async function startServer(host: ShapedHost): Promise<void> {
  const server = host.start(host.peer, 'iperf3', '-s', '-p', PORT, '--forceflush');
  await until('the iperf3 server listens', () => server.said().includes('listening'));
}

/** @param count bytes so far, in the direction of the load */
export async function runLoad(
  from: TestNamespace,
  load: Load,
  count: () => Promise<number>,
): Promise<LoadFigures> {
  const { direction, warmUpMs, windowMs, megabits, family, streams } = load;
  const address = family === 4 ? PEER : PEER_IPV6;
  // One megabit takes several times as long to show its pace.
  const pace = megabits <= 1 ? 2 : 1;
  const seconds = Math.ceil((warmUpMs + pace * windowMs) / 1000) + 1;
  const kind =
    load.protocol === 'udp'
      ? ['-u', '-b', `${Math.ceil((UDP_SURPLUS * megabits * 1e6) / streams)}`, '-l', `${datagramBytes(load)}`]
      : ['-C', 'cubic'];
  const words = [
    '-c',
    address,
    '-p',
    PORT,
    '-t',
    `${seconds}`,
    '-O',
    '1',
    '-P',
    `${streams}`,
    '-i',
    '0',
    '-J',
    ...kind,
  ];
  if (direction === 'in') words.push('-R');
  const stream = runOk(inside(from, 'iperf3', ...words), { timeoutMs: (seconds + 60) * 1000 });
  stream.catch(() => {});
  await sleep(warmUpMs);
  const pings = Math.floor((pace * windowMs) / 1000 / PING_INTERVAL_SECONDS);
  const ping = run(
    inside(from, 'ping', '-n', '-i', `${PING_INTERVAL_SECONDS}`, '-c', `${pings}`, '-W', '5', address),
    { timeoutMs: pace * windowMs + 30_000 },
  );
  const [startMs, before] = [performance.now(), await count()];
  await sleep(pace * windowMs);
  const bytes = (await count()) - before;
  const achieved = (bytes * 8) / (performance.now() - startMs) / 1000;
  const times = [...(await ping).stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms));
  const goodput = goodputOf(await stream);
  return {
    achieved,
    goodput,
    pingMs:
      times.length === 0
        ? { median: Number.NaN, p95: Number.NaN }
        : { median: median(times), p95: percentile(times, 95) },
  };
}

/** As many as fit into one frame; at rates for which a system call a frame is too slow, several frames. */
function datagramBytes({ megabits, family }: Load): number {
  if (megabits >= FRAGMENTED_MEGABITS) return 8192;
  return family === 4 ? 1472 : 1452;
}

export function inside(namespace: TestNamespace, ...command: readonly string[]): string[] {
  return ['nsenter', `--net=${namespace.path}`, ...command];
}

/** Mbit/s; UDP tells what was sent, of which some was lost. */
function goodputOf(said: string): number {
  const { end } = JSON.parse(said) as {
    end: {
      sum_received?: { bits_per_second: number };
      sum?: { bits_per_second: number; lost_percent?: number };
    };
  };
  if (end.sum?.lost_percent !== undefined) {
    return (end.sum.bits_per_second * (1 - end.sum.lost_percent / 100)) / 1e6;
  }
  return (end.sum_received?.bits_per_second ?? Number.NaN) / 1e6;
}
