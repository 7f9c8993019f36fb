/**
 * What must be true of a race, as pure functions over its recorded history and over what etcd holds. Each
 * returns what is wrong, in words and with the address; nothing wrong is an empty list.
 *
 * Held = from the moment the address was answered until its release was asked: the time in which a container
 * may have the address.
 */
import { formatIp } from '../../core/ip.ts';
import type { KeyValue } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, leaseSchema } from '../../store/schema.ts';
import type { RaceEvent } from './history.ts';

export interface Fault {
  readonly address: string;
  readonly text: string;
}

/** Who has an address, and by which call. */
export interface Holding {
  readonly host: string;
  readonly call: number;
}
export type Held = ReadonlyMap<string, Holding>;

/** All lease keys and all index keys, at one revision. */
export interface Snapshot {
  readonly leases: readonly KeyValue[];
  readonly index: readonly KeyValue[];
}

/**
 * Goes through the history in order.
 * @param before addresses that were taken before it began
 * @returns duplicates, and who holds what at the end
 */
export function replay(
  events: readonly RaceEvent[],
  before: Held = new Map(),
): { readonly faults: Fault[]; readonly held: Map<string, Holding> } {
  const held = new Map(before);
  const faults: Fault[] = [];
  for (const event of events) {
    if (event.what === 'take answered') {
      const { address, host, call } = event;
      const other = held.get(address);
      if (other !== undefined) {
        const text = `given to ${host} (call ${call}) while ${other.host} (call ${other.call}) held it`;
        faults.push({ address, text });
      }
      held.set(address, { host, call });
    }
    if (event.what === 'release asked' && held.get(event.address)?.host === event.host) {
      held.delete(event.address);
    }
  }
  return { faults, held };
}

/** Held by the same call before and after: what etcd was asked for in between must show it. */
export function heldThroughout(before: Held, after: Held): Map<string, Holding> {
  return new Map([...before].filter(([address, { call }]) => after.get(address)?.call === call));
}

/** Every held address stands in etcd, for the host that holds it. */
export function missing(held: Held, { leases }: Snapshot, layout: Layout): Fault[] {
  const hosts = hostsOf(leases, layout);
  return [...held].flatMap(([address, { host, call }]) => {
    const found = hosts.get(address);
    if (found === host) return [];
    const who = found === undefined ? 'nobody has it' : `${found} has it`;
    return [{ address, text: `held by ${host} (call ${call}), but in etcd ${who}` }];
  });
}

/** No lease stands in etcd for an address that nobody holds. */
export function leaks(held: Held, { leases }: Snapshot, layout: Layout): Fault[] {
  return [...hostsOf(leases, layout)].flatMap(([address, host]) =>
    held.has(address) ? [] : [{ address, text: `nobody holds it, but in etcd ${host} has it` }],
  );
}

/** Each lease that a host has stands in that host's index with the same bytes, and nothing else stands there. */
export function indexFaults({ leases, index }: Snapshot, layout: Layout): Fault[] {
  const faults: Fault[] = [];
  const expected = new Map<string, { readonly address: string; readonly text: string }>();
  for (const { key, value } of leases) {
    const { subnet, address } = layout.addressOf(key);
    const lease = decode(leaseSchema, key, value);
    if (lease.state === 'reserved') continue;
    expected.set(layout.byHostLease(lease.host, subnet, address), {
      address: formatIp(address),
      text: value,
    });
  }
  for (const { key, value } of index) {
    const lease = expected.get(key);
    expected.delete(key);
    if (lease === undefined)
      faults.push({ address: formatIp(layout.addressOf(key).address), text: `${key} stands for no lease` });
    else if (lease.text !== value)
      faults.push({ address: lease.address, text: `${key} differs from its lease: ${value}; ${lease.text}` });
  }
  for (const [key, { address }] of expected) faults.push({ address, text: `${key} is missing` });
  return faults;
}

function hostsOf(leases: readonly KeyValue[], layout: Layout): Map<string, string> {
  return new Map(
    leases.map(({ key, value }) => [
      formatIp(layout.addressOf(key).address),
      decode(leaseSchema, key, value).host,
    ]),
  );
}
