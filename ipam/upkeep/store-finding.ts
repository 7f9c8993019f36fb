/** What a check of the store finds, as data: the fault, and the repair as a difference of keys. */
import type { Compare } from '../../store/kv.ts';

export type FindingCode =
  | 'unknown-key'
  | 'damaged-value'
  | 'lease-without-index'
  | 'index-without-lease'
  | 'index-differs'
  | 'address-twice'
  | 'reserved-in-index'
  | 'outside-pool'
  | 'no-pool'
  | 'pool-key-differs'
  | 'pools-overlap'
  | 'bad-range'
  | 'reservation-without-hold'
  | 'hold-without-reservation'
  | 'name-without-lease'
  | 'name-differs'
  | 'name-twice'
  | 'nameless'
  | 'mac-differs'
  | 'endpoint-twice'
  | 'use-without-pool'
  | 'unregistered-host'
  | 'miscounted';

/** One key as it is and as it should be; absent: the key does not exist. */
export interface StoreEdit {
  readonly key: string;
  readonly before?: string;
  readonly after?: string;
  /** `after` hangs on a fresh TTL. */
  readonly ttlSeconds?: number;
}

export interface Repair {
  /** Whose steps wait for each other in the Committer. */
  readonly lockKey: string;
  /** All that the judgement rests on: if anything of it has moved, nothing is changed. */
  readonly seen: readonly Compare[];
  readonly edits: readonly StoreEdit[];
}

export interface Finding {
  readonly code: FindingCode;
  /** Address, pool, host, name or key. */
  readonly object: string;
  /** What is wrong, in one line. */
  readonly problem: string;
  /** Absent: a person has to decide, and `advice` says how. */
  readonly repair?: Repair;
  readonly advice?: string;
}

/** What stands in the store, counted. */
export interface StoreCounts {
  readonly keys: number;
  readonly pools: number;
  readonly hosts: number;
  readonly leases: number;
  /** Pending, bound and warm ones. */
  readonly inUse: number;
  readonly reserved: number;
  /** Entries of all hosts' indexes. */
  readonly indexed: number;
  readonly names: number;
  readonly holds: number;
}
