/**
 * What stands at `macs/<pool>/<address>` beside a lease: the entry by which every host learns that the MAC of the address is
 * not the one that follows from it. The lease says itself that it has one, so both are written, and end, together. Pure.
 */
import type { Operation } from '../../store/kv.ts';
import type { LeaseValue, MacValue } from '../../store/schema.ts';

/** @returns undefined for nearly every lease: its MAC follows from its address */
export function macEntryOf(lease: LeaseValue | undefined): MacValue | undefined {
  if (lease?.fixedMac !== undefined) return { v: 1, mac: lease.fixedMac };
  return lease?.state === 'reserved' && lease.role === 'quarantine' ? { v: 1 } : undefined;
}

/**
 * What is written at `key` when a lease becomes another; nothing where neither has an entry.
 * @param before the lease as it was read; undefined: there was none, or it had no entry
 * @param after undefined: it ends
 */
export function macOperations(
  key: string,
  before: LeaseValue | undefined,
  after: LeaseValue | undefined,
  ttlId?: string,
): Operation[] {
  const entry = macEntryOf(after);
  if (entry !== undefined)
    return [{ do: 'put', key, value: JSON.stringify(entry), ...(ttlId === undefined ? {} : { ttlId }) }];
  return macEntryOf(before) === undefined ? [] : [{ do: 'delete', range: { key } }];
}
