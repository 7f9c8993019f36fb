/**
 * The host's leases as etcd has them, for reconciliation: the host's index, each entry compared with its lease key, so
 * that an index that does not agree with the leases is found and mended. Never a scan of a pool: a lease that neither
 * the index nor anything on this host knows of is found by `lanius store check`.
 *
 * The lease key is the truth, the index a copy. A sound pair was written by one transaction, so the two have one mod
 * revision; etcd compares them itself, 120 a read, and answers with values only where some differ.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import type { Logger } from '../../core/log.ts';
import type { KeyRange, KeyValue, KvPort, OperationResult } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import { addressKey, type PoolAddress } from '../address/address-key.ts';
import type { Step } from '../commit/step.ts';
import { LeaseSteps } from '../lease/lease-steps.ts';
import type { HeldLease } from '../lease/lease-table.ts';

/** Below etcd's default of 128 operations a transaction. */
const BATCH = 120;
/** Reads in flight at once. */
const PARALLEL = 4;

export type IndexFault =
  /** The lease is this host's, but the index has no entry, or one that was not written with it. */
  | { readonly fault: 'missing' | 'different'; readonly at: PoolAddress; readonly held: HeldLease }
  /** The index has an entry, but the lease is not this host's (`other`), or there is none. */
  | {
      readonly fault: 'stray';
      readonly at: PoolAddress;
      readonly indexRevision: number;
      readonly other?: LeaseValue;
    };

export interface OwnLeases {
  /** With the revisions of the lease keys. */
  readonly leases: readonly HeldLease[];
  readonly faults: readonly IndexFault[];
  /** Who has the addresses that were asked for and that this host cannot take, by {@link addressKey}. */
  readonly others: ReadonlyMap<string, LeaseValue>;
  /** Index entries that agree with their leases, as they are now. */
  readonly sound: ReadonlySet<string>;
}

export interface OwnIndexDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly logger: Logger;
}

interface Found {
  readonly leases: HeldLease[];
  readonly faults: IndexFault[];
  readonly others: Map<string, LeaseValue>;
  readonly sound: Set<string>;
}

interface Entry {
  readonly at: PoolAddress;
  readonly kv: KeyValue;
}

export class OwnIndex {
  readonly #host: string;
  readonly #deps: OwnIndexDependencies;

  constructor(options: { readonly host: string }, deps: OwnIndexDependencies) {
    this.#host = options.host;
    this.#deps = deps;
  }

  /**
   * @param used addresses that something on this host uses; those without an entry are looked up
   * @param trusted `sound` of an earlier look: what has not changed since is not compared again
   * @throws StoreUnavailable
   */
  async read(used: readonly PoolAddress[], trusted: ReadonlySet<string> = new Set()): Promise<OwnLeases> {
    const { kv, layout } = this.#deps;
    const index = await kv.range({ prefix: layout.byHost(this.#host) });
    const found: Found = { leases: [], faults: [], others: new Map(), sound: new Set() };
    for (const part of partsOf(index.kvs)) {
      for (const entry of part) if (trusted.has(versionOf(entry))) this.#note(entry, found);
      await breathe();
    }
    const doubtful = index.kvs.filter((entry) => !trusted.has(versionOf(entry)));
    await each(partsOf(this.#entries(doubtful)), (part) => this.#compare(part, found));
    const indexed = new Set(index.kvs.map(({ key }) => key));
    const without = used.filter(
      ({ subnet, address }) => !indexed.has(layout.byHostLease(this.#host, subnet, address)),
    );
    await each(partsOf(without), (part) => this.#lookUp(part, found));
    return found;
  }

  /** Writes the index as the lease says; nothing happens if the two have changed since they were read. */
  repairOf(fault: IndexFault): Step {
    const { layout } = this.#deps;
    const { subnet, address } = fault.at;
    if (fault.fault !== 'stray') {
      const { modRevision, value } = fault.held;
      return new LeaseSteps(layout, this.#host, subnet, address).replace(modRevision, value);
    }
    const key = layout.byHostLease(this.#host, subnet, address);
    // Whoever takes the lease for this host writes the entry, too; so the entry alone need be compared.
    return {
      lockKey: layout.lease(subnet, address),
      txn: {
        compare: [{ test: 'modRevision', key, equals: fault.indexRevision }],
        success: [{ do: 'delete', range: { key } }],
      },
    };
  }

  async #compare(part: readonly Entry[], found: Found): Promise<void> {
    const keys = part.map(({ at }) => this.#leaseKey(at));
    const { succeeded, results } = await this.#deps.kv.txn({
      compare: part.map(({ kv }, i) => ({
        test: 'modRevision',
        key: keys[i] ?? '',
        equals: kv.modRevision,
      })),
      success: [],
      failure: keys.map(getOf),
    });
    for (const [i, entry] of part.entries()) {
      const lease = succeeded ? entry.kv : readOf(results[i]);
      if (lease?.modRevision === entry.kv.modRevision) this.#note(entry.kv, found);
      else this.#judge(entry, lease, found);
    }
    await breathe();
  }

  #judge({ at, kv }: Entry, lease: KeyValue | undefined, found: Found): void {
    const held = lease === undefined ? undefined : this.#readable(lease);
    // A lease that cannot be read may be this host's: its entry is left alone, too.
    if (lease !== undefined && held === undefined) return;
    if (held !== undefined && this.#isOurs(held.value)) {
      found.leases.push(held);
      found.faults.push({ fault: 'different', at, held });
      return;
    }
    const other = held === undefined ? {} : { other: held.value };
    found.faults.push({ fault: 'stray', at, indexRevision: kv.modRevision, ...other });
    if (held !== undefined && !this.#wasOurs(held.value)) found.others.set(addressKey(at), held.value);
  }

  async #lookUp(part: readonly PoolAddress[], found: Found): Promise<void> {
    const keys = part.map((at) => this.#leaseKey(at));
    const { results } = await this.#deps.kv.txn({ compare: [], success: keys.map(getOf) });
    for (const [i, at] of part.entries()) {
      const lease = readOf(results[i]);
      const held = lease === undefined ? undefined : this.#readable(lease);
      if (held === undefined) continue;
      if (!this.#isOurs(held.value)) {
        if (!this.#wasOurs(held.value)) found.others.set(addressKey(at), held.value);
        continue;
      }
      found.leases.push(held);
      found.faults.push({ fault: 'missing', at, held });
    }
  }

  #note(entry: KeyValue, found: Found): void {
    found.sound.add(versionOf(entry));
    const held = this.#readable(entry);
    if (held !== undefined) found.leases.push(held);
  }

  /** Entries whose key names no address are nobody's, and are left alone. */
  #entries(kvs: readonly KeyValue[]): Entry[] {
    return kvs.flatMap((kv) => {
      const at = this.#attempt(() => this.#deps.layout.addressOf(kv.key));
      return at === undefined ? [] : [{ at, kv }];
    });
  }

  /** A lease that cannot be read is left alone: its key stands, so nobody else gets the address. */
  #readable(kv: KeyValue): HeldLease | undefined {
    return this.#attempt(() => {
      const { createRevision, modRevision } = kv;
      const value = decode(leaseSchema, kv.key, kv.value);
      return { ...this.#deps.layout.addressOf(kv.key), createRevision, modRevision, value };
    });
  }

  #attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (err) {
      this.#deps.logger.error('a lease of this host cannot be read and is left alone', { err });
      return undefined;
    }
  }

  #leaseKey({ subnet, address }: PoolAddress): string {
    return this.#deps.layout.lease(subnet, address);
  }

  #isOurs({ host, state }: LeaseValue): boolean {
    return host === this.#host && state !== 'reserved';
  }

  /** Kept for a name that had it here last: what lives here may take it again. */
  #wasOurs({ host, state, role }: LeaseValue): boolean {
    return host === this.#host && state === 'reserved' && (role === 'operator' || role === 'sticky');
  }
}

function versionOf({ key, modRevision }: KeyValue): string {
  return `${key} ${modRevision}`;
}

function getOf(key: string): { readonly do: 'get'; readonly range: KeyRange } {
  return { do: 'get', range: { key } };
}

function readOf(result: OperationResult | undefined): KeyValue | undefined {
  return result?.did === 'get' ? result.kvs[0] : undefined;
}

function partsOf<T>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let i = 0; i < items.length; i += BATCH) parts.push(items.slice(i, i + BATCH));
  return parts;
}

/** Some at a time, so that a large host does not fill etcd's queue. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
