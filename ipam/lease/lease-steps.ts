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
import { macOperations } from '../mac/mac-entry.ts';

/** What becomes of an address when its lease ends. */
export type Afterwards =
  | { readonly fate: 'free' }
  /** Free, but others are taken first as long as the TTL lasts. */
  | { readonly fate: 'cool'; readonly ttlId: string }
  /** It stays reserved for its name: for as long as the TTL lasts, or for ever. */
  | { readonly fate: 'keep'; readonly reserved: LeaseValue; readonly ttlId?: string };

/** A value of a lease key and the revision that it was read at. */
export interface HeldValue {
  readonly value: LeaseValue;
  readonly modRevision: number;
}

/** A revision of a lease's key that a step compares. */
export type SeenRevision = { readonly createRevision: number } | { readonly modRevision: number };

/** The steps of one address; made for every lease and every release, so it keeps no closures. */
export class LeaseSteps {
  readonly #layout: Layout;
  readonly #subnet: Cidr;
  readonly #address: IpAddress;
  readonly #key: string;
  readonly #indexKey: string;

  /** @param host whose index the lease is in */
  constructor(layout: Layout, host: string, subnet: Cidr, address: IpAddress) {
    this.#layout = layout;
    this.#subnet = subnet;
    this.#address = address;
    this.#key = layout.lease(subnet, address);
    this.#indexKey = layout.byHostLease(host, subnet, address);
  }

  /** If the address is free Then it is ours Else read who has it. Undone by value, so only if it is this one. */
  take(value: LeaseValue): Step {
    const text = JSON.stringify(value);
    const key = this.#key;
    return {
      lockKey: key,
      txn: { compare: [{ test: 'absent', key }], success: this.#putBoth(text), failure: [this.#get()] },
      undo: { compare: [{ test: 'value', key, equals: text }], success: this.#deleteBoth() },
    };
  }

  /**
   * The same for a `value` with a name; if the name has no address yet. Else read the lease, then the name.
   * @param nameRevision the name's entry as it was read, if it points here although the address is free (damage)
   */
  takeForName(value: LeaseValue, nameRevision?: number): Step {
    const text = JSON.stringify(value);
    const key = this.#key;
    const nameKey = this.#nameKey(value);
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
        success: [...this.#putBoth(text), this.#putName(value)],
        failure: [this.#get(), { do: 'get', range: { key: nameKey } }],
      },
      undo: { compare: [{ test: 'value', key, equals: text }], success: [...this.#deleteBoth(), deleteName] },
    };
  }

  /**
   * Takes a reserved address for its name, if the reservation is as it was read. Else read the lease.
   * @param reserved what stands there: undone by putting it back (a sticky one without its TTL, so for longer)
   */
  takeReserved(reserved: HeldValue, value: LeaseValue): Step {
    const text = JSON.stringify(value);
    const key = this.#key;
    return {
      lockKey: key,
      txn: {
        compare: [this.#unchanged(reserved)],
        success: [...this.#putBoth(text), this.#putName(value)],
        failure: [this.#get()],
      },
      undo: {
        compare: [{ test: 'value', key, equals: text }],
        success: this.#ending({ fate: 'keep', reserved: reserved.value }),
      },
    };
  }

  /**
   * Compares what was read, so a replay or a late copy is harmless. Else read the lease.
   * @param ended the lease as it was read: what stands beside it for its MAC ends with it
   */
  release(seen: SeenRevision, afterwards: Afterwards = { fate: 'free' }, ended?: LeaseValue): Step {
    return {
      lockKey: this.#key,
      txn: {
        compare: [this.#unchanged(seen)],
        success: [...this.#ending(afterwards), ...this.#mac(ended, undefined)],
        failure: [this.#get()],
      },
    };
  }

  /** If the lease is as it was read. Else read it. @param seen what was read, if its MAC may be another one */
  replace(modRevision: number, value: LeaseValue, seen?: LeaseValue): Step {
    return {
      lockKey: this.#key,
      txn: {
        compare: [this.#unchanged({ modRevision })],
        success: [...this.#putBoth(JSON.stringify(value)), ...this.#mac(seen, value)],
        failure: [this.#get()],
      },
    };
  }

  /**
   * This host's lease, which nobody uses, becomes a reservation for as long as the TTL lasts, if it is as it was read.
   * Else read it.
   */
  quarantine(modRevision: number, ended: LeaseValue, reserved: LeaseValue, ttlId: string): Step {
    return {
      lockKey: this.#key,
      txn: {
        compare: [this.#unchanged({ modRevision })],
        success: [
          { do: 'put', key: this.#key, value: JSON.stringify(reserved), ttlId },
          this.#deleteIndex(),
          ...this.#mac(ended, reserved, ttlId),
        ],
        failure: [this.#get()],
      },
    };
  }

  #mac(before: LeaseValue | undefined, after: LeaseValue | undefined, ttlId?: string): Operation[] {
    return macOperations(this.#layout.mac(this.#subnet, this.#address), before, after, ttlId);
  }

  #get(): Operation {
    return { do: 'get', range: { key: this.#key } };
  }

  #putBoth(text: string): Operation[] {
    return [
      { do: 'put', key: this.#key, value: text },
      { do: 'put', key: this.#indexKey, value: text },
    ];
  }

  #deleteBoth(): Operation[] {
    return [{ do: 'delete', range: { key: this.#key } }, this.#deleteIndex()];
  }

  #deleteIndex(): Operation {
    return { do: 'delete', range: { key: this.#indexKey } };
  }

  #nameKey(value: LeaseValue): string {
    return this.#layout.name(this.#subnet, value.name ?? '');
  }

  #putName(value: LeaseValue, ttl: { readonly ttlId?: string } = {}): Operation {
    const text: NameValue = { v: 1, address: formatIp(this.#address) };
    return { do: 'put', key: this.#nameKey(value), value: JSON.stringify(text), ...ttl };
  }

  #unchanged(seen: SeenRevision): Compare {
    return 'createRevision' in seen
      ? { test: 'createRevision', key: this.#key, equals: seen.createRevision }
      : { test: 'modRevision', key: this.#key, equals: seen.modRevision };
  }

  #ending(afterwards: Afterwards): Operation[] {
    switch (afterwards.fate) {
      case 'free':
        return this.#deleteBoth();
      case 'cool': {
        const mark = {
          key: this.#layout.cooling(this.#subnet, this.#address),
          value: JSON.stringify({ v: 1 }),
        };
        return [...this.#deleteBoth(), { do: 'put', ...mark, ttlId: afterwards.ttlId }];
      }
      case 'keep': {
        const { reserved, ttlId } = afterwards;
        const ttl = ttlId === undefined ? {} : { ttlId };
        return [
          { do: 'put', key: this.#key, value: JSON.stringify(reserved), ...ttl },
          this.#deleteIndex(),
          this.#putName(reserved, ttl),
        ];
      }
    }
  }
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

function reservedText({ role, name, macAddress }: LeaseValue): string {
  if (role === 'quarantine')
    return `a machine with MAC ${macAddress ?? '?'}, which is none of ours, answered for it (lanius ip unreserve ends that)`;
  if (role === 'operator') return `it is reserved for "${name}"`;
  if (role === 'sticky') return `it is kept for the container name "${name}"`;
  return `it is reserved as ${role === 'gateway' ? 'gateway' : 'auxiliary address'} of a network`;
}
