/**
 * What many leases and many hosts cost: start and memory of a daemon and the time of its leases with up to 1,000,000
 * leases in etcd, against one on an empty etcd; and what the sessions of up to 1,000 daemons cost etcd.
 */
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { measureInside, NEEDS } from './namespaces.ts';
import type { Result } from './report.ts';
import type { ScaleOptions } from './scale-inside.ts';

export const scaleBenchmark: Benchmark = {
  name: 'scale',
  about: 'a daemon with up to 1,000,000 leases in etcd, and etcd with up to 1,000 daemons',
  needs: `${NEEDS}, 3 GB of memory and 3 GB of disk`,
  measure,
};

function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  say('namespaces and two etcds up');
  const optionsOf = (folder: string): ScaleOptions => ({
    folder,
    leases: quick ? [1000, 10_000] : [10_000, 100_000, 1_000_000],
    sessions: quick ? [10, 100] : [10, 100, 1000],
    idleMs: quick ? 5000 : 30_000,
    starts: quick ? 1 : 5,
    samples: quick ? 100 : 1000,
  });
  return measureInside('scale-inside', optionsOf);
}
