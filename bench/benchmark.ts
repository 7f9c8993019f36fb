/** What every benchmark is given, and what it gives back. */
import type { Result } from './report.ts';

export interface BenchmarkOptions {
  /** Few samples: shows that it works; its figures mean little and are never recorded. */
  readonly quick: boolean;
  /** For people, while it runs. */
  readonly say: (line: string) => void;
}

export interface Benchmark {
  readonly name: string;
  /** One line for `--help`. */
  readonly about: string;
  /** What it needs beyond Node. */
  readonly needs: string;
  /** Ends what it started, also when it fails. @throws if something could not be measured */
  measure(options: BenchmarkOptions): Promise<readonly Result[]>;
}
