/**
 * Time of each plugin call over whole lives of containers: real daemon, real etcd that syncs to disk, real links, but
 * no engine: a client asks in the engine's order and with its headers (plugin-inside.ts).
 */
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { measureInside, NEEDS } from './namespaces.ts';
import type { InsideOptions } from './plugin-inside.ts';
import type { Result } from './report.ts';

export const pluginBenchmark: Benchmark = {
  name: 'plugin',
  about: 'each plugin call over lives of containers, with 1 and with 16 callers, without an engine',
  needs: NEEDS,
  measure,
};

function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  say('namespaces, etcd and daemon up');
  const optionsOf = (folder: string): InsideOptions => ({
    folder,
    lives: quick ? 100 : 1000,
    callers: [1, 16],
  });
  return measureInside('plugin-inside', optionsOf);
}
