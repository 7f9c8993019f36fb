/**
 * What the daemon answers about the store as a whole on its admin socket. Each answer is a stream of JSON lines, so
 * that long work shows its progress and nothing has to fit into memory; the last line of a failure is
 * `{"error":{"code","message"}}`.
 *
 * docs/store.md shows the commands that use it.
 */
import type { Finding, StoreCounts } from '../../ipam/upkeep/store-finding.ts';
import type { ImportResult } from '../../ipam/upkeep/store-import.ts';

export type { ImportResult, StoreCounts };

export const STORE_PATHS = {
  /** GET: {@link ProgressLine}s, then a {@link CheckLine}. POST: the same, repairing what can be repaired. */
  check: '/v1/store/check',
  /** GET: the lines of an export. */
  export: '/v1/store/export',
  /** POST of such lines: {@link ProgressLine}s, then an {@link ImportLine}. */
  import: '/v1/store/import',
} as const;

export type Outcome = 'repaired' | 'changed' | 'left';

export interface FindingInfo {
  readonly code: Finding['code'];
  readonly object: string;
  readonly problem: string;
  /** Difference of the repair, a line a key: `- KEY VALUE`, `+ KEY VALUE`. Absent: a person has to decide. */
  readonly diff?: readonly string[];
  readonly advice?: string;
  /** changed: it was not as seen any more. Absent: nothing was to be repaired. */
  readonly outcome?: Outcome;
}

export interface CheckReport {
  readonly revision: number;
  readonly counts: StoreCounts;
  readonly findings: readonly FindingInfo[];
  /** There is more to find once these are repaired. */
  readonly more: boolean;
}

export interface ProgressLine {
  readonly progress: { readonly keys: number };
}

export interface CheckLine {
  readonly report: CheckReport;
}

export interface ImportLine {
  readonly result: ImportResult;
}
