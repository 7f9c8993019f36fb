/**
 * How long it takes until the neighbour table of a container is full, through the daemon's own parts, against the least
 * that it can take (neigh-floor.c), `ip -batch`, and one process for each entry.
 */
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { measureInside } from './namespaces.ts';
import type { NeighOptions } from './neigh-inside.ts';
import type { Result } from './report.ts';

export const neighBenchmark: Benchmark = {
  name: 'neigh',
  about: 'filling a neighbour table, against C, ip -batch and a process for each entry',
  needs:
    'root, unshare and nsenter (util-linux), ip (iproute2) and cc (a C compiler with libc and kernel headers)',
  measure,
};

function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  say('namespaces up');
  const optionsOf = (folder: string): NeighOptions => ({
    folder,
    sizes: [1000, 10_000, 65_000],
    rounds: quick ? 2 : 9,
    processes: quick ? 20 : 200,
  });
  return measureInside('neigh-inside', optionsOf);
}
