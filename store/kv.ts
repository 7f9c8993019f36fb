/**
 * The store as Lanius needs it, behind one port: etcd's own semantics (revisions, compare-and-swap transactions
 * that nest, TTL keys), made safe. The only implementation is `store/etcd-kv.ts`.
 *
 * CONTRACT (held by test/contract/kv.test.ts against a real etcd behind a faulty proxy):
 * - Nothing is ever sent twice. A lost answer is a StoreUnavailable with `outcomeUnknown: true`.
 * - Every call ends within its `timeoutMs`, also when etcd is frozen.
 * - After etcd's return the next call succeeds; there is no circuit breaker.
 * - A watch delivers every event after its start revision once, in order, across cut connections; where
 *   compaction makes that impossible it says so (`onCompacted`) and the caller lists anew.
 */

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface CallOptions {
  /** At most this long, in milliseconds. Default: the client's. */
  readonly timeoutMs?: number;
}

export interface RangeOptions extends CallOptions {
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly limit?: number;
  /** Answer from the member's own data, maybe stale: cheaper, for hints only. */
  readonly serializable?: boolean;
  /** As it was at that revision. @throws StoreUnavailable if it is compacted away */
  readonly revision?: number;
}

export interface RangeResult {
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  /** All matching keys, also those cut off by `limit`. */
  readonly count: number;
}

/** A key, or all keys that start with `prefix`, or all in [from, to). */
export type KeyRange =
  | { readonly key: string }
  | { readonly prefix: string }
  | { readonly from: string; readonly to: string };

export type Compare =
  | { readonly test: 'absent'; readonly key: string }
  | { readonly test: 'rangeEmpty'; readonly prefix: string }
  /** No key in [from, to). */
  | { readonly test: 'noneBetween'; readonly from: string; readonly to: string }
  | { readonly test: 'createRevision'; readonly key: string; readonly equals: number }
  | { readonly test: 'modRevision'; readonly key: string; readonly equals: number }
  | { readonly test: 'value'; readonly key: string; readonly equals: string };

export type Operation =
  | { readonly do: 'put'; readonly key: string; readonly value: string; readonly ttlId?: string }
  | { readonly do: 'delete'; readonly range: KeyRange }
  | { readonly do: 'get'; readonly range: KeyRange; readonly keysOnly?: boolean }
  | { readonly do: 'txn'; readonly txn: Transaction };

/** Where all of `compare` hold, `success` is executed, else `failure`; all at one revision. */
export interface Transaction {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure?: readonly Operation[];
}

/** Result of one operation, in the order of the executed branch. */
export type OperationResult =
  | { readonly did: 'put' }
  | { readonly did: 'delete'; readonly deleted: number }
  | { readonly did: 'get'; readonly kvs: readonly KeyValue[] }
  | { readonly did: 'txn'; readonly result: TransactionResult };

export interface TransactionResult {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
}

/** A deletion has an empty value, createRevision 0, and the revision of the deletion as modRevision. */
export interface WatchEvent {
  readonly type: 'put' | 'delete';
  readonly kv: KeyValue;
}

export interface WatchHandlers {
  /**
   * Events of one revision or more, in order; never a part of a revision.
   * @param revision of the last of them: `revision + 1` is where to go on
   */
  onEvents(events: readonly WatchEvent[], revision: number): void;
  /** Events before `compactRevision` are lost for ever; the watch has ended. List anew, then watch from there. */
  onCompacted(compactRevision: number): void;
  /** Once per interruption, also if the first connection fails; the watch goes on by itself. */
  onDisconnected?(error: unknown): void;
  onConnected?(): void;
}

export interface Watch {
  /** Once called, no handler is called any more. Idempotent. */
  close(): Promise<void>;
}

export interface StoreStatus {
  readonly version: string;
  readonly dbSizeBytes: number;
  readonly leader: string;
  /** e.g. `NOSPACE`. */
  readonly alarms: readonly string[];
  readonly revision: number;
}

export interface KvPort {
  /** @throws StoreUnavailable */
  range(range: KeyRange, options?: RangeOptions): Promise<RangeResult>;
  /**
   * Never retried.
   * @throws StoreUnavailable, with `outcomeUnknown` if it may have been executed
   * @throws NotFound if a put names a TTL that is gone; nothing was executed
   * @throws InternalError if etcd calls the transaction malformed (a key twice, too many operations)
   */
  txn(txn: Transaction, options?: CallOptions): Promise<TransactionResult>;
  /** A TTL that keys can hang on. @returns its id @throws StoreUnavailable */
  ttlGrant(ttlSeconds: number, options?: CallOptions): Promise<string>;
  /** @returns seconds left, 0 if the TTL is gone @throws StoreUnavailable */
  ttlKeepAlive(ttlId: string, options?: CallOptions): Promise<number>;
  /** Ends the TTL and deletes its keys; idempotent. @throws StoreUnavailable */
  ttlRevoke(ttlId: string, options?: CallOptions): Promise<void>;
  /** @param fromRevision first revision to deliver, at least 1 @throws InternalError below that */
  watch(range: KeyRange, fromRevision: number, handlers: WatchHandlers): Watch;
  /** @throws StoreUnavailable */
  status(options?: CallOptions): Promise<StoreStatus>;
  close(): void;
}
