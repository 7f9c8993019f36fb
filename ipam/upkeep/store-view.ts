/**
 * Key values of one revision, sorted by what they are about, each value decoded or known to be damaged. What a
 * check of the store judges (store-check.ts).
 */

import type { z } from 'zod';
import { type Cidr, formatIp, type IpAddress, ipFromHex } from '../../core/ip.ts';
import type { Compare, KeyValue } from '../../store/kv.ts';
import { type Layout, type LimitKey, subnetOfPoolKey } from '../../store/layout.ts';
import {
  type BandwidthValue,
  bandwidthSchema,
  decode,
  hostSchema,
  type LeaseValue,
  leaseSchema,
  type MacValue,
  macSchema,
  nameSchema,
  poolSchema,
  sessionSchema,
} from '../../store/schema.ts';
import { parseStoreKey, type StoreKey } from './store-keys.ts';

/** A key with its value; without `value` it is damaged. */
export interface Seen<T> {
  readonly kv: KeyValue;
  readonly value: T | undefined;
}

export interface SeenAddress {
  readonly pool: string;
  readonly hex: string;
  readonly subnet: Cidr;
  readonly address: IpAddress;
  /** For people, e.g. `10.77.0.5`. */
  readonly text: string;
  readonly leaseKey: string;
  readonly lease: Seen<LeaseValue> | undefined;
  readonly indexes: readonly (Seen<LeaseValue> & { readonly host: string })[];
  /** The entry that says that its MAC is not the one that follows from it. */
  readonly mac: Seen<MacValue> | undefined;
  /** By host. */
  readonly holds: readonly { readonly host: string; readonly kv: KeyValue }[];
}

export class StoreView {
  readonly layout: Layout;
  readonly pools = new Map<string, Seen<z.infer<typeof poolSchema>> & { readonly subnet: Cidr }>();
  readonly hosts = new Map<string, Seen<z.infer<typeof hostSchema>>>();
  readonly sessions = new Map<string, Seen<z.infer<typeof sessionSchema>>>();
  /** By `<pool>/<name>`. */
  readonly names = new Map<
    string,
    Seen<z.infer<typeof nameSchema>> & { readonly pool: string; readonly name: string }
  >();
  readonly uses: { readonly pool: string; readonly host: string; readonly kv: KeyValue }[] = [];
  readonly limits: { readonly limit: LimitKey; readonly kv: KeyValue }[] = [];
  readonly bandwidths: (Seen<BandwidthValue> & { readonly host: string })[] = [];
  readonly unknown: KeyValue[] = [];
  readonly #leases = new Map<string, Seen<LeaseValue>>();
  readonly #indexes = new Map<string, (Seen<LeaseValue> & { host: string })[]>();
  readonly #holds = new Map<string, { host: string; kv: KeyValue }[]>();
  readonly #macs = new Map<string, Seen<MacValue>>();
  #poolset: KeyValue | undefined;

  constructor(layout: Layout, kvs: Iterable<KeyValue>) {
    this.layout = layout;
    for (const kv of kvs) this.#add(kv, parseStoreKey(kv.key.slice(layout.prefix.length)));
  }

  /** Every address of which anything is known. */
  addresses(): SeenAddress[] {
    const ids = new Set(
      [this.#leases, this.#indexes, this.#holds, this.#macs].flatMap((map) => [...map.keys()]),
    );
    return [...ids].map((id) => this.#addressOf(id));
  }

  /** @param address as text; undefined if it is none of that pool's family */
  at(pool: string, hex: string): SeenAddress {
    return this.#addressOf(`${pool}/${hex}`);
  }

  /** The condition that `key` is as it was seen. */
  unchanged(key: string, kv: KeyValue | undefined): Compare {
    return kv === undefined ? { test: 'absent', key } : { test: 'modRevision', key, equals: kv.modRevision };
  }

  /** The condition that the set of pools is as it was seen. */
  get poolsetUnchanged(): Compare {
    return this.unchanged(this.layout.poolset, this.#poolset);
  }

  get poolset(): KeyValue | undefined {
    return this.#poolset;
  }

  #addressOf(id: string): SeenAddress {
    const [pool = '', hex = ''] = id.split('/');
    const [subnet, address] = [subnetOfPoolKey(pool), ipFromHex(hex)];
    return {
      pool,
      hex,
      subnet,
      address,
      text: formatIp(address),
      leaseKey: this.layout.lease(subnet, address),
      lease: this.#leases.get(id),
      indexes: this.#indexes.get(id) ?? [],
      mac: this.#macs.get(id),
      holds: this.#holds.get(id) ?? [],
    };
  }

  #add(kv: KeyValue, key: StoreKey | undefined): void {
    if (kv.key === this.layout.poolset) this.#poolset = kv;
    switch (key?.kind) {
      case undefined:
        this.unknown.push(kv);
        return;
      case 'pool':
        this.pools.set(key.pool, { ...seen(kv, poolSchema), subnet: subnetOfPoolKey(key.pool) });
        return;
      case 'host':
        this.hosts.set(key.host, seen(kv, hostSchema));
        return;
      case 'session':
        this.sessions.set(key.host, seen(kv, sessionSchema));
        return;
      case 'use':
        this.uses.push({ ...key, kv });
        return;
      case 'name':
        this.names.set(`${key.pool}/${key.name}`, { ...key, ...seen(kv, nameSchema) });
        return;
      case 'lease':
        this.#leases.set(`${key.pool}/${key.hex}`, seen(kv, leaseSchema));
        return;
      case 'index':
        push(this.#indexes, `${key.pool}/${key.hex}`, { ...seen(kv, leaseSchema), host: key.host });
        return;
      case 'hold':
        push(this.#holds, `${key.pool}/${key.hex}`, { host: key.host, kv });
        return;
      case 'mac':
        this.#macs.set(`${key.pool}/${key.hex}`, seen(kv, macSchema));
        return;
      case 'limit':
        this.limits.push({ limit: key.limit, kv });
        return;
      case 'bandwidth':
        this.bandwidths.push({ ...seen(kv, bandwidthSchema), host: key.host });
        return;
      case 'cooling':
      case 'dead':
      case 'mark':
        return;
    }
  }
}

/** Without `value` if the text does not fit the schema. */
export function seen<T>(kv: KeyValue, schema: z.ZodType<T>): Seen<T> {
  try {
    return { kv, value: decode(schema, kv.key, kv.value) };
  } catch {
    return { kv, value: undefined };
  }
}

/** A lease that its host has in its index. */
export function isInUse(value: LeaseValue): boolean {
  return value.state !== 'reserved';
}

/** A lease whose address belongs to a name, in use or not. */
export function isNamed(value: LeaseValue): boolean {
  return value.role === 'operator' || value.role === 'sticky';
}

function push<T>(map: Map<string, T[]>, id: string, item: T): void {
  const list = map.get(id);
  if (list === undefined) map.set(id, [item]);
  else list.push(item);
}
