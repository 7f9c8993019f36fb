/**
 * A step: one small independent transaction on one object, as data. Many of them make one transaction of etcd
 * (committer.ts).
 */
import type { Deadline } from '../../core/deadline.ts';
import type { Transaction, TransactionResult } from '../../store/kv.ts';

export interface Step {
  /** Orders the steps on one object; usually the lease's key. */
  readonly lockKey: string;
  readonly txn: Transaction;
  /** Takes back what `txn` did, if its caller has gone when the outcome becomes known. */
  readonly undo?: Transaction;
  /** Called when `undo` has been executed, with its revision. Must not throw. */
  readonly undone?: (revision: number) => void;
  /** Absent: tried for as long as the daemon lives. */
  readonly deadline?: Deadline;
}

export interface StepResult {
  readonly succeeded: boolean;
  readonly results: TransactionResult['results'];
  /** Of the whole transaction: create and mod revision of what it put. */
  readonly revision: number;
}
