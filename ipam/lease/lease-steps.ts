/**
 * The transactions of a lease, as data. Lease and host index are always written together, with the same bytes,
 * so their create and mod revisions are the same.
 */
import { InternalError } from '../../core/errors.ts';
import { type Cidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { Compare, Operation } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, type LeaseValue, leaseSchema, type NameValue } from '../../store/schema.ts';
import type { Step, StepResult } from '../commit/step.ts';

/** What becomes of an address when its lease ends. */
export type Afterwards =
  | { readonly fate: 'free' }
  /** Free, but others are taken first as long as the TTL lasts. */
  | { readonly fate: 'cool'; readonly ttlId: string }
  /** It stays reserved for its name: for as long as the TTL lasts, or for ever. */
  | { readonly fate: 'keep'; readonly reserved: LeaseValue; readonly ttlId?: string };

export interface LeaseTransactions {
  /** If the address is free Then it is ours Else read who has it. Undone by value, so only if it is this one. */
  take(value: LeaseValue): Step;
  /**
   * The same for a `value` with a name; if the name has no address yet. Else read the lease, then the name.
   * @param nameRevision the name's entry as it was read, if it points here although the address is free (damage)
   */
  takeForName(value: LeaseValue, nameRevision?: number): Step;
  /**
   * Takes a reserved address for its name, if the reservation is as it was read. Else read the lease.
   * @param reserved what stands there: undone by putting it back (a sticky one without its TTL, so for longer)
   */
  takeReserved(reserved: HeldValue, value: LeaseValue): Step;
  /** Compares what was read, so a replay or a late copy is harmless. Else read the lease. */
  release(
    seen: { readonly createRevision: number } | { readonly modRevision: number },
    afterwards?: Afterwards,
  ): Step;
  /** If the lease is as it was read. Else read it. */
  replace(modRevision: number, value: LeaseValue): Step;
}

/** A value of a lease key and the revision that it was read at. */
export interface HeldValue {
  readonly value: LeaseValue;
  readonly modRevision: number;
}

export function leaseTransactions(
  layout: Layout,
  host: string,
  subnet: Cidr,
  address: IpAddress,
): LeaseTransactions {
  const key = layout.lease(subnet, address);
  const indexKey = layout.byHostLease(host, subnet, address);
  const get = { do: 'get', range: { key } } as const;
  const putBoth = (text: string) =>
    [
      { do: 'put', key, value: text },
      { do: 'put', key: indexKey, value: text },
    ] as const;
  const deleteIndex = { do: 'delete', range: { key: indexKey } } as const;
  const deleteBoth = [{ do: 'delete', range: { key } }, deleteIndex] as const;
  const nameKeyOf = (value: LeaseValue): string => layout.name(subnet, value.name ?? '');
  const putName = (value: LeaseValue, ttl: { readonly ttlId?: string } = {}): Operation => {
    const text: NameValue = { v: 1, address: formatIp(address) };
    return { do: 'put', key: nameKeyOf(value), value: JSON.stringify(text), ...ttl };
  };
  const unchanged = (
    seen: { readonly createRevision: number } | { readonly modRevision: number },
  ): Compare =>
    'createRevision' in seen
      ? { test: 'createRevision', key, equals: seen.createRevision }
      : { test: 'modRevision', key, equals: seen.modRevision };
  const ending = (afterwards: Afterwards): Operation[] => {
    switch (afterwards.fate) {
      case 'free':
        return [...deleteBoth];
      case 'cool': {
        const mark = { key: layout.cooling(subnet, address), value: JSON.stringify({ v: 1 }) };
        return [...deleteBoth, { do: 'put', ...mark, ttlId: afterwards.ttlId }];
      }
      case 'keep': {
        const { reserved, ttlId } = afterwards;
        const ttl = ttlId === undefined ? {} : { ttlId };
        return [
          { do: 'put', key, value: JSON.stringify(reserved), ...ttl },
          deleteIndex,
          putName(reserved, ttl),
        ];
      }
    }
  };
  return {
    take: (value) => {
      const text = JSON.stringify(value);
      return {
        lockKey: key,
        txn: { compare: [{ test: 'absent', key }], success: putBoth(text), failure: [get] },
        undo: { compare: [{ test: 'value', key, equals: text }], success: deleteBoth },
      };
    },
    takeForName: (value, nameRevision) => {
      const text = JSON.stringify(value);
      const nameKey = nameKeyOf(value);
      const deleteName = { do: 'delete', range: { key: nameKey } } as const;
      return {
        lockKey: key,
        txn: {
          compare: [
            { test: 'absent', key },
            nameRevision === undefined
              ? { test: 'absent', key: nameKey }
              : { test: 'modRevision', key: nameKey, equals: nameRevision },
          ],
          success: [...putBoth(text), putName(value)],
          failure: [get, { do: 'get', range: { key: nameKey } }],
        },
        undo: { compare: [{ test: 'value', key, equals: text }], success: [...deleteBoth, deleteName] },
      };
    },
    takeReserved: (reserved, value) => {
      const text = JSON.stringify(value);
      const back = { fate: 'keep', reserved: reserved.value } as const;
      return {
        lockKey: key,
        txn: {
          compare: [unchanged(reserved)],
          success: [...putBoth(text), putName(value)],
          failure: [get],
        },
        undo: { compare: [{ test: 'value', key, equals: text }], success: ending(back) },
      };
    },
    release: (seen, afterwards = { fate: 'free' }) => ({
      lockKey: key,
      txn: { compare: [unchanged(seen)], success: ending(afterwards), failure: [get] },
    }),
    replace: (modRevision, value) => ({
      lockKey: key,
      txn: {
        compare: [unchanged({ modRevision })],
        success: putBoth(JSON.stringify(value)),
        failure: [get],
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

/** What a step found at the lease's key when it changed nothing; undefined: nothing. @throws InternalError if damaged */
export function standingLease(result: StepResult): HeldValue | undefined {
  const read = result.succeeded ? undefined : result.results[0];
  const kv = read?.did === 'get' ? read.kvs[0] : undefined;
  if (kv === undefined) return undefined;
  return { value: decode(leaseSchema, kv.key, kv.value), modRevision: kv.modRevision };
}

/** For people: who has an address. */
export function holderText(value: LeaseValue): string {
  if (value.state === 'reserved') return reservedText(value);
  const who =
    value.containerName ??
    (value.endpointId === undefined ? 'a container' : `endpoint ${value.endpointId.slice(0, 12)}`);
  if (value.state === 'warm') return `host ${value.host} has it in stock`;
  return `${who} on host ${value.host} has it`;
}

function reservedText({ role, name }: LeaseValue): string {
  if (role === 'operator') return `it is reserved for "${name}"`;
  if (role === 'sticky') return `it is kept for the container name "${name}"`;
  return `it is reserved as ${role === 'gateway' ? 'gateway' : 'auxiliary address'} of a network`;
}
