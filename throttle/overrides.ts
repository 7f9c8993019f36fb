/**
 * Limits that people set in etcd, which are stronger than what a container says itself. Shapes only; throttle/override-book.ts
 * keeps them in memory.
 */
import type { Direction, RateLimit } from '../core/limit.ts';

/** One value at `<prefix>limits/…/<direction>`. */
export interface Override {
  /** Absent: no limit, whatever others say. */
  readonly limit?: RateLimit;
  /** The value cannot be read, and why, one line; then it is as if it were not there, but told. */
  readonly problem?: string;
  readonly modRevision: number;
}

export type OverridesOfContainer = Readonly<Partial<Record<Direction, Override>>>;

export interface Overrides {
  /** They have been read once; before that, nothing may be concluded. */
  readonly ready: boolean;
  /** From memory. The host's own value for the name goes before the one for all hosts, by direction. */
  of(containerName: string): OverridesOfContainer;
  /** Called soon after a change, with the container names that it is about. @returns ends it */
  onChange(listener: (containerNames: readonly string[]) => void): () => void;
}
