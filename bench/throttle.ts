/**
 * How exactly limits hold, what they cost in delay and processor time, and what it costs to set, change and read them; on
 * real links between namespaces, against the CNI bandwidth plugin and wondershaper where they are installed.
 */
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { measureInside } from './namespaces.ts';
import type { Result } from './report.ts';
import type { ThrottleOptions } from './throttle-options.ts';

export const throttleBenchmark: Benchmark = {
  name: 'throttle',
  about: 'limits: how exactly they hold, delay under load, what they cost; against the CNI plugin',
  needs:
    'root, unshare (util-linux), ip and tc (iproute2), iperf3 and ping; uses containernetworking-plugins and wondershaper if they are there',
  measure,
};

function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  say('namespaces up');
  const full: ThrottleOptions = {
    megabits: [1, 10, 100, 1000, 5000],
    streams: [1, 8],
    families: [4, 6],
    repeats: 2,
    warmUpMs: 1500,
    windowMs: 3000,
    referenceMegabits: [10, 100, 1000],
    referenceRounds: 3,
    setups: 200,
    containers: [1, 100, 500],
    packetRounds: 3,
    packetSeconds: 2,
    edits: 60,
  };
  const little: ThrottleOptions = {
    ...full,
    megabits: [100],
    streams: [1],
    families: [4],
    repeats: 1,
    warmUpMs: 700,
    windowMs: 800,
    referenceMegabits: [100],
    referenceRounds: 1,
    setups: 20,
    containers: [1, 20],
    packetRounds: 1,
    packetSeconds: 1,
    edits: 10,
  };
  return measureInside('throttle-inside', () => (quick ? little : full));
}
