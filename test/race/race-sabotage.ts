/**
 * Breaks one rule of the lease algebra on purpose, between a race's host and its store, so that a test can prove that
 * the checker would notice. Product code knows nothing of it.
 *
 *   blind-retry         what many etcd clients do by themselves: a transaction whose answer was lost is sent again,
 *                       and nobody is told, so the session's epoch does not move
 *   no-revision-compare a release no longer compares the revision that it read
 *   no-absent-compare   a lease no longer compares that its address is free
 */
import { StoreUnavailable } from '../../core/errors.ts';
import type { Compare, KvPort, Operation, Transaction } from '../../store/kv.ts';
import { withCalls } from '../support/store-calls.ts';

export const SABOTAGES = ['blind-retry', 'no-revision-compare', 'no-absent-compare'] as const;
export type Sabotage = (typeof SABOTAGES)[number];

export function isSabotage(name: string): name is Sabotage {
  return (SABOTAGES as readonly string[]).includes(name);
}

export function sabotaged(kv: KvPort, sabotage: Sabotage): KvPort {
  const txn: KvPort['txn'] =
    sabotage === 'blind-retry'
      ? (transaction, options) => again(() => kv.txn(transaction, options))
      : (transaction, options) => kv.txn(without(transaction, sabotage), options);
  return withCalls(kv, { txn });
}

async function again<T>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Only in nested transactions: the outermost compare is the fence. */
function without(transaction: Transaction, sabotage: Sabotage): Transaction {
  const bare = (operation: Operation): Operation =>
    operation.do === 'txn'
      ? { ...operation, txn: { ...operation.txn, compare: operation.txn.compare.filter(stays(sabotage)) } }
      : operation;
  return { ...transaction, success: transaction.success.map(bare) };
}

function stays(sabotage: Sabotage): (compare: Compare) => boolean {
  if (sabotage === 'no-absent-compare') return ({ test, ...rest }) => test !== 'absent' || !isLease(rest);
  return ({ test }) => test !== 'createRevision' && test !== 'modRevision';
}

function isLease(compare: object): boolean {
  return 'key' in compare && String(compare.key).includes('/leases/');
}
