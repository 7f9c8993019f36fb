/**
 * The transactions of a lease, as data. Lease and host index are always written together, with the same bytes,
 * so their create and mod revisions are the same.
 */
import { InternalError } from '../core/errors.ts';
import type { Cidr, IpAddress } from '../core/ip.ts';
import type { Compare } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import { decode, type LeaseValue, leaseSchema } from '../store/schema.ts';
import type { Step, StepResult } from './committer.ts';

export interface LeaseTransactions {
  /** If the address is free Then it is ours Else read who has it. Undone by value, so only if it is this one. */
  take(value: LeaseValue): Step;
  /** Compares what was read, so a replay or a late copy is harmless. */
  release(seen: { readonly createRevision: number } | { readonly modRevision: number }): Step;
  replace(modRevision: number, value: LeaseValue): Step;
}

export function leaseTransactions(
  layout: Layout,
  host: string,
  subnet: Cidr,
  address: IpAddress,
): LeaseTransactions {
  const key = layout.lease(subnet, address);
  const indexKey = layout.byHostLease(host, subnet, address);
  const putBoth = (text: string) =>
    [
      { do: 'put', key, value: text },
      { do: 'put', key: indexKey, value: text },
    ] as const;
  const deleteBoth = [
    { do: 'delete', range: { key } },
    { do: 'delete', range: { key: indexKey } },
  ] as const;
  return {
    take: (value) => {
      const text = JSON.stringify(value);
      return {
        lockKey: key,
        txn: {
          compare: [{ test: 'absent', key }],
          success: putBoth(text),
          failure: [{ do: 'get', range: { key } }],
        },
        undo: { compare: [{ test: 'value', key, equals: text }], success: deleteBoth },
      };
    },
    release: (seen) => {
      const unchanged: Compare =
        'createRevision' in seen
          ? { test: 'createRevision', key, equals: seen.createRevision }
          : { test: 'modRevision', key, equals: seen.modRevision };
      return { lockKey: key, txn: { compare: [unchanged], success: deleteBoth } };
    },
    replace: (modRevision, value) => ({
      lockKey: key,
      txn: {
        compare: [{ test: 'modRevision', key, equals: modRevision }],
        success: putBoth(JSON.stringify(value)),
      },
    }),
  };
}

/** What stands at the key after a `take`: the new lease, or the one that was there. */
export function existingLease(
  result: StepResult,
  wanted: LeaseValue,
): { readonly existing: LeaseValue; readonly createRevision: number; readonly modRevision: number } {
  if (result.succeeded) {
    return { existing: wanted, createRevision: result.revision, modRevision: result.revision };
  }
  const read = result.results[0];
  const kv = read?.did === 'get' ? read.kvs[0] : undefined;
  if (kv === undefined)
    throw new InternalError('etcd refused a free address: the store answered against its contract');
  const { createRevision, modRevision } = kv;
  return { existing: decode(leaseSchema, kv.key, kv.value), createRevision, modRevision };
}

/** For people: who has an address. */
export function holderText(value: LeaseValue): string {
  if (value.state === 'reserved')
    return `it is reserved as ${value.role === 'gateway' ? 'gateway' : 'auxiliary address'} of a network`;
  const who =
    value.containerName ??
    (value.endpointId === undefined ? 'a container' : `endpoint ${value.endpointId.slice(0, 12)}`);
  return `${who} on host ${value.host} has it`;
}
