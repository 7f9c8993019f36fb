/**
 * How long it takes until the leases are freed that a crash left behind, 10,000 of one host, against the same deletes
 * done raw: what reconciliation adds is looking twice at everything, deciding, and comparing each lease once more.
 */
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { measureInside, NEEDS } from './namespaces.ts';
import type { ReconcileOptions } from './reconcile-inside.ts';
import type { Result } from './report.ts';

export const reconcileBenchmark: Benchmark = {
  name: 'reconcile',
  about: 'freeing 10,000 leaked leases of one host, against raw deletes',
  needs: NEEDS,
  measure,
};

function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  say('namespaces and etcd up');
  const optionsOf = (folder: string): ReconcileOptions => ({
    folder,
    leases: quick ? 2000 : 10_000,
    rounds: quick ? 1 : 5,
  });
  return measureInside('reconcile-inside', optionsOf);
}
