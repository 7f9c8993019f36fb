/**
 * A store that counts the transactions which pass through it, and how many of their nested steps took a lease or were
 * refused one. For benchmarks: counts, changes nothing.
 */
import type {
  CallOptions,
  KeyRange,
  KvPort,
  RangeOptions,
  Transaction,
  TransactionResult,
  WatchHandlers,
} from '../store/kv.ts';

export interface Counts {
  readonly transactions: number;
  /** Of the transactions, by the share of their steps that take a lease: half of one that takes one and ends one. */
  readonly taking: number;
  /** Steps that found their address taken. */
  readonly refused: number;
  /** Reads. */
  readonly ranges: number;
}

export const NO_COUNTS: Counts = { transactions: 0, taking: 0, refused: 0, ranges: 0 };

/** What was counted from `before` to `after`. */
export function countsBetween(before: Counts, after: Counts): Counts {
  return {
    transactions: after.transactions - before.transactions,
    taking: after.taking - before.taking,
    refused: after.refused - before.refused,
    ranges: after.ranges - before.ranges,
  };
}

/** Of one transaction that was executed. Nested steps that compare `absent` take a lease. */
export function countsOf(txn: Transaction, result: TransactionResult): Counts {
  const steps = txn.success.flatMap((operation, index) => {
    if (operation.do !== 'txn') return [];
    const outcome = result.succeeded ? result.results[index] : undefined;
    const taking = operation.txn.compare.some(({ test }) => test === 'absent');
    return [{ taking, refused: taking && outcome?.did === 'txn' && !outcome.result.succeeded }];
  });
  const taking = steps.filter((step) => step.taking).length;
  return {
    transactions: 1,
    taking: steps.length === 0 ? 0 : taking / steps.length,
    refused: steps.filter((step) => step.refused).length,
    ranges: 0,
  };
}

export class CountingKv implements KvPort {
  readonly #kv: KvPort;
  #counts = NO_COUNTS;

  constructor(kv: KvPort) {
    this.#kv = kv;
  }

  get counts(): Counts {
    return this.#counts;
  }

  async txn(txn: Transaction, options?: CallOptions): Promise<TransactionResult> {
    const result = await this.#kv.txn(txn, options);
    this.#add(countsOf(txn, result));
    return result;
  }

  range(range: KeyRange, options?: RangeOptions) {
    this.#add({ ...NO_COUNTS, ranges: 1 });
    return this.#kv.range(range, options);
  }

  ttlGrant(ttlSeconds: number, options?: CallOptions) {
    return this.#kv.ttlGrant(ttlSeconds, options);
  }

  ttlKeepAlive(ttlId: string, options?: CallOptions) {
    return this.#kv.ttlKeepAlive(ttlId, options);
  }

  ttlRevoke(ttlId: string, options?: CallOptions) {
    return this.#kv.ttlRevoke(ttlId, options);
  }

  watch(range: KeyRange, fromRevision: number, handlers: WatchHandlers) {
    return this.#kv.watch(range, fromRevision, handlers);
  }

  status(options?: CallOptions) {
    return this.#kv.status(options);
  }

  close(): void {
    this.#kv.close();
  }

  #add(more: Counts): void {
    const { transactions, taking, refused, ranges } = this.#counts;
    this.#counts = {
      transactions: transactions + more.transactions,
      taking: taking + more.taking,
      refused: refused + more.refused,
      ranges: ranges + more.ranges,
    };
  }
}
