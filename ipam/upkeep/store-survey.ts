/**
 * The first look of a check at a store that may hold a million leases: every key is seen once, what fits together
 * is only counted, and what may not is noted for a closer look (store-check.ts). Pure; some 100 bytes a lease.
 *
 * Must be fed in this order: what is neither lease nor index entry, then the index entries, then the leases.
 */
import { cidrsOverlap, formatIp, type IpRange, ipFromHex, rangeHas, usableRange } from '../../core/ip.ts';
import type { KeyValue } from '../../store/kv.ts';
import { type Layout, subnetOfPoolKey } from '../../store/layout.ts';
import { type LeaseValue, leaseSchema, macSchema, nameSchema } from '../../store/schema.ts';
import { macEntryOf } from '../mac/mac-entry.ts';
import type { StoreCounts } from './store-finding.ts';
import { parseStoreKey } from './store-keys.ts';
import { isInUse, isNamed, seen } from './store-view.ts';

/** Of the index entry of an address, as long as no lease has been seen for it. */
interface Entry {
  readonly host: string;
  readonly modRevision: number;
  readonly hash: number;
}

export class StoreSurvey {
  readonly #layout: Layout;
  /** Of few objects all is kept. */
  readonly #small: KeyValue[] = [];
  /** By pool, then by address. */
  readonly #index = new Map<string, Map<string, Entry>>();
  /** By `<pool>/<name>`: the address. */
  readonly #names = new Map<string, string>();
  /** `<pool>/<hex>` with holds. */
  readonly #held = new Set<string>();
  /** By `<pool>/<hex>`: the MAC, or '' for an address to ask for. */
  readonly #macs = new Map<string, string>();
  readonly #pools = new Map<string, IpRange>();
  readonly #endpoints = new Set<number>();
  readonly #doubtfulEndpoints = new Set<number>();
  /** Pools that overlap another; known when the first lease comes. */
  #overlapping: ReadonlySet<string> | undefined;
  /** In those: the pool of each leased address. */
  readonly #shared = new Map<string, string>();
  /** One string a host, not one a key. */
  readonly #hosts = new Map<string, string>();
  /** `<pool>/<hex>` to look at, with the hosts that are known to have it in their index. */
  readonly #doubts = new Map<string, Set<string>>();
  readonly #doubtfulNames = new Set<string>();
  readonly #counts = {
    keys: 0,
    pools: 0,
    hosts: 0,
    leases: 0,
    inUse: 0,
    reserved: 0,
    indexed: 0,
    names: 0,
    holds: 0,
  };

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  add(kv: KeyValue): void {
    this.#counts.keys += 1;
    const key = parseStoreKey(kv.key.slice(this.#layout.prefix.length));
    switch (key?.kind) {
      case 'lease':
        this.#counts.leases += 1;
        this.#addLease(kv, key.pool, key.hex);
        return;
      case 'index':
        this.#counts.indexed += 1;
        this.#addIndex(kv, key.host, key.pool, key.hex);
        return;
      case 'name':
        this.#counts.names += 1;
        this.#names.set(`${key.pool}/${key.name}`, seen(kv, nameSchema).value?.address ?? '');
        return;
      case 'cooling':
        return;
      case 'mac': {
        const { value } = seen(kv, macSchema);
        this.#macs.set(`${key.pool}/${key.hex}`, value === undefined ? 'damaged' : (value.mac ?? ''));
        return;
      }
      case 'hold':
        this.#counts.holds += 1;
        this.#held.add(`${key.pool}/${key.hex}`);
        return;
      case 'pool':
        this.#counts.pools += 1;
        this.#pools.set(key.pool, usableRange(subnetOfPoolKey(key.pool)));
        break;
      case 'host':
        this.#counts.hosts += 1;
        break;
      case 'use':
      case 'session':
      case 'dead':
      case 'limit':
      case 'bandwidth':
      case 'mark':
      case undefined:
        break;
    }
    this.#small.push(kv);
  }

  get counts(): StoreCounts {
    return { ...this.#counts };
  }

  /** What is to be judged in full: all but leases, their index entries, names and holds. */
  get small(): readonly KeyValue[] {
    return this.#small;
  }

  /** Addresses that do not fit, or may not: `<pool>/<hex>` with the hosts whose index is known to have it. */
  doubts(): ReadonlyMap<string, ReadonlySet<string>> {
    for (const [pool, entries] of this.#index)
      for (const [hex, { host }] of entries) this.#doubt(`${pool}/${hex}`, host);
    for (const id of this.#held) this.#doubt(id);
    for (const id of this.#macs.keys()) this.#doubt(id);
    return this.#doubts;
  }

  /** Names that no lease has claimed, or two: `<pool>/<name>`. */
  doubtfulNames(): ReadonlySet<string> {
    return new Set([...this.#doubtfulNames, ...this.#names.keys()]);
  }

  #addIndex(kv: KeyValue, host: string, pool: string, hex: string): void {
    let entries = this.#index.get(pool);
    if (entries === undefined) {
      entries = new Map();
      this.#index.set(pool, entries);
    }
    const other = entries.get(hex);
    if (other === undefined) {
      entries.set(hex, { host: this.#sameHost(host), modRevision: kv.modRevision, hash: hashOf(kv.value) });
      return;
    }
    this.#doubt(`${pool}/${hex}`, other.host);
    this.#doubt(`${pool}/${hex}`, host);
  }

  #addLease(kv: KeyValue, pool: string, hex: string): void {
    const id = `${pool}/${hex}`;
    const { value } = seen(kv, leaseSchema);
    const entry = this.#index.get(pool)?.get(hex);
    this.#index.get(pool)?.delete(hex);
    const held = this.#held.delete(id);
    if (entry !== undefined && value === undefined) this.#doubt(id, entry.host);
    if (value === undefined) {
      this.#doubt(id);
      return;
    }
    this.#counts[isInUse(value) ? 'inUse' : 'reserved'] += 1;
    const indexed =
      entry !== undefined &&
      entry.host === value.host &&
      entry.modRevision === kv.modRevision &&
      entry.hash === hashOf(kv.value);
    const checks = [
      isInUse(value) ? indexed && !held : entry === undefined && (!isShared(value) || held),
      this.#isPlaced(pool, hex, value),
      !isNamed(value) || this.#claimName(`${pool}/${value.name ?? ''}`, formatIp(ipFromHex(hex))),
      !this.#endpointTaken(value, hex),
      this.#claimMac(id, value),
      !this.#inOtherPool(pool, hex),
    ];
    if (checks.includes(false)) this.#doubt(id, entry?.host, value.host);
  }

  /**
   * For a second pass over the leases, where two of them seem to name one endpoint: notes the first one, too.
   * @see hasDoubtfulEndpoints
   */
  addAgain(kv: KeyValue): void {
    const key = parseStoreKey(kv.key.slice(this.#layout.prefix.length));
    const { value } = seen(kv, leaseSchema);
    if (key?.kind !== 'lease' || value?.endpointId === undefined) return;
    if (this.#doubtfulEndpoints.has(endpointHash(value.endpointId, key.hex)))
      this.#doubt(`${key.pool}/${key.hex}`, value.host);
  }

  get hasDoubtfulEndpoints(): boolean {
    return this.#doubtfulEndpoints.size > 0;
  }

  #isPlaced(pool: string, hex: string, value: LeaseValue): boolean {
    const range = this.#pools.get(pool);
    return range !== undefined && (isShared(value) || rangeHas(range, ipFromHex(hex)));
  }

  /** @returns false if the name has another address, or another lease has claimed it */
  #claimName(id: string, address: string): boolean {
    if (this.#names.get(id) === address) return this.#names.delete(id);
    this.#doubtfulNames.add(id);
    return false;
  }

  /** @returns false if the entry of its MAC is not as the lease says */
  #claimMac(id: string, value: LeaseValue): boolean {
    const entry = macEntryOf(value);
    const there = this.#macs.get(id);
    if (there !== (entry === undefined ? undefined : (entry.mac ?? ''))) return false;
    this.#macs.delete(id);
    return true;
  }

  /** True also, about once in 10,000 stores of a million leases, for an endpoint whose hash another has. */
  #endpointTaken({ endpointId, state }: LeaseValue, hex: string): boolean {
    if (endpointId === undefined || state !== 'bound') return false;
    const hash = endpointHash(endpointId, hex);
    const taken = this.#endpoints.has(hash);
    if (taken) this.#doubtfulEndpoints.add(hash);
    this.#endpoints.add(hash);
    return taken;
  }

  #inOtherPool(pool: string, hex: string): boolean {
    this.#overlapping ??= overlappingOf([...this.#pools.keys()]);
    if (!this.#overlapping.has(pool)) return false;
    const other = this.#shared.get(hex);
    this.#shared.set(hex, pool);
    if (other !== undefined) this.#doubt(`${other}/${hex}`);
    return other !== undefined;
  }

  #sameHost(host: string): string {
    const known = this.#hosts.get(host);
    if (known === undefined) this.#hosts.set(host, host);
    return known ?? host;
  }

  #doubt(id: string, ...hosts: readonly (string | undefined)[]): void {
    const known = this.#doubts.get(id) ?? new Set();
    for (const host of hosts) if (host !== undefined) known.add(host);
    this.#doubts.set(id, known);
  }
}

function isShared({ role }: LeaseValue): boolean {
  return role === 'gateway' || role === 'aux';
}

function overlappingOf(pools: readonly string[]): Set<string> {
  const subnets = pools.map((pool) => ({ pool, subnet: subnetOfPoolKey(pool) }));
  const overlaps = subnets.filter(({ pool, subnet }) =>
    subnets.some((other) => other.pool !== pool && cidrsOverlap(other.subnet, subnet)),
  );
  return new Set(overlaps.map(({ pool }) => pool));
}

/** One for each family: an endpoint has an address of each. */
function endpointHash(endpointId: string, hex: string): number {
  return hashOf(`${endpointId} ${hex.length}`);
}

/**
 * 53 bits, for equality only: two values that differ are taken for equal once in 10^16. cyrb53, public domain.
 */
function hashOf(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i);
    high = Math.imul(high ^ char, 2654435761);
    low = Math.imul(low ^ char, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
