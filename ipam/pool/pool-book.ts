/**
 * This daemon's copy of all pools, fed by a watch: policy is decided from it, so that no container waits for a read.
 *
 * INVARIANTS
 * - Newest wins: an event that is older than what is known (because this host has just changed the pool) is ignored.
 * - After every interruption all is listed anew: pools are few, and etcd may have been restored from a backup, where
 *   revisions begin lower.
 * - While etcd is away the copy stands, marked stale. Before it was ever read, who needs it waits.
 */
import { type Deadline, within } from '../../core/deadline.ts';
import { DeadlineExceeded, StoreUnavailable } from '../../core/errors.ts';
import { type Cidr, formatCidr } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { KeyValue, KvPort, Watch, WatchEvent } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import type { PoolValue } from '../../store/schema.ts';
import { poolValue } from './pool-lookup.ts';

export interface PoolBookOptions {
  /** `ipam.coolingSeconds`: for pools that say nothing. */
  readonly coolingSeconds: number;
}

export interface PoolBookDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly logger: Logger;
}

interface Known {
  /** Undefined: it is gone. */
  readonly value: PoolValue | undefined;
  readonly modRevision: number;
}

/** Between two tries to list, in milliseconds. */
const RETRY_MS = 200;

export class PoolBook {
  readonly #options: PoolBookOptions;
  readonly #deps: PoolBookDependencies;
  /** By key in etcd. */
  readonly #pools = new Map<string, Known>();
  readonly #listeners: (() => void)[] = [];
  readonly #loaded: Promise<void>;
  #markLoaded: () => void = () => {};
  #ready = false;
  #connected = false;
  #closed = false;
  #revision = 0;
  #watch: Watch | undefined;
  #loading: Promise<void> | undefined;

  constructor(options: PoolBookOptions, deps: PoolBookDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#loaded = new Promise((resolve) => {
      this.#markLoaded = resolve;
    });
  }

  /** Lists and watches from then on; once. @throws StoreUnavailable, and may be tried again */
  load(): Promise<void> {
    this.#loading ??= this.#list().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#watch?.close();
  }

  /** Called after a pool has changed, or all were listed; must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** All pools were read once. */
  get ready(): boolean {
    return this.#ready;
  }

  /** What is shown may be old: etcd cannot be watched now. */
  get stale(): boolean {
    return !this.#connected;
  }

  /** The revision up to which the copy is known to be right; 0 before it was read. */
  get revision(): number {
    return this.#revision;
  }

  get(subnet: Cidr): PoolValue | undefined {
    return this.#pools.get(this.#deps.layout.pool(subnet))?.value;
  }

  byName(name: string): PoolValue | undefined {
    return this.list().find((pool) => pool.name === name);
  }

  list(): PoolValue[] {
    return [...this.#pools.values()].flatMap(({ value }) => value ?? []);
  }

  /**
   * The pool, at once if it is known; else after one read of its key, or after the first listing.
   * @returns undefined if etcd has no such pool
   * @throws StoreUnavailable within the deadline
   */
  async find(subnet: Cidr, deadline: Deadline): Promise<PoolValue | undefined> {
    const known = this.get(subnet);
    if (known !== undefined) return known;
    try {
      if (!this.#ready) await within(this.#loaded, deadline, 'reading the pools');
      return this.get(subnet) ?? (await within(this.#read(subnet), deadline, 'reading the pool'));
    } catch (error) {
      if (!(error instanceof DeadlineExceeded)) throw error;
      throw new StoreUnavailable(
        `etcd does not answer, and pool ${formatCidr(subnet)} was not read before: check that etcd runs and is ` +
          'reachable (lanius doctor); nothing was changed',
      );
    }
  }

  /** This host has just written the pool (or, without a value, deleted it): known at once, before the watch tells. */
  note(subnet: Cidr, value: PoolValue | undefined, modRevision: number): void {
    this.#set(this.#deps.layout.pool(subnet), value, modRevision);
    this.#changed();
  }

  /** How long a released address of the pool rests, in seconds. */
  coolingSeconds(subnet: Cidr): number {
    return this.get(subnet)?.coolingSeconds ?? this.#options.coolingSeconds;
  }

  /** How many addresses of the pool one host may hold; undefined: any number. */
  quotaPerHost(subnet: Cidr): number | undefined {
    return this.get(subnet)?.quotaPerHost;
  }

  async #read(subnet: Cidr): Promise<PoolValue | undefined> {
    const kv = (await this.#deps.kv.range({ key: this.#deps.layout.pool(subnet) })).kvs[0];
    if (kv === undefined) return undefined;
    const value = poolValue(kv, this.#deps.layout);
    this.#set(kv.key, value, kv.modRevision);
    return value;
  }

  async #list(): Promise<void> {
    const { kv, layout, logger } = this.#deps;
    const { kvs, revision } = await kv.range({ prefix: layout.pools });
    await this.#watch?.close();
    if (this.#closed) return;
    this.#forget(revision);
    this.#take(kvs.map((item) => ({ type: 'put', kv: item })));
    this.#revision = revision;
    this.#connected = true;
    let interrupted = false;
    this.#watch = kv.watch({ prefix: layout.pools }, revision + 1, {
      onEvents: (events, seen) => {
        this.#take(events);
        this.#revision = seen;
      },
      onCompacted: () => this.#listAnew(),
      onDisconnected: (err) => {
        interrupted = true;
        this.#connected = false;
        logger.warn('pools cannot be watched: etcd does not answer, what is known stands', { err });
      },
      onConnected: () => {
        if (interrupted) this.#listAnew();
      },
    });
    this.#ready = true;
    this.#markLoaded();
    this.#changed();
  }

  /** All that a listing at `revision` tells better. What this host has written since stays, unless etcd went back. */
  #forget(revision: number): void {
    const wentBack = revision < this.#revision;
    for (const [key, { modRevision }] of this.#pools) {
      if (wentBack || modRevision <= revision) this.#pools.delete(key);
    }
  }

  /** Tries for as long as the daemon lives. */
  #listAnew(): void {
    if (this.#closed) return;
    this.load().catch((err: unknown) => {
      this.#connected = false;
      this.#deps.logger.debug('the pools cannot be listed, it is tried again', { err });
      setTimeout(() => this.#listAnew(), RETRY_MS).unref();
    });
  }

  #take(events: readonly WatchEvent[]): void {
    for (const { type, kv } of events)
      this.#set(kv.key, type === 'put' ? this.#readable(kv) : undefined, kv.modRevision);
    this.#changed();
  }

  #changed(): void {
    if (this.#ready) for (const listener of this.#listeners) listener();
  }

  /** What cannot be read is treated as unknown: who needs that pool reads it and is told. */
  #readable(kv: KeyValue): PoolValue | undefined {
    try {
      return poolValue(kv, this.#deps.layout);
    } catch (err) {
      this.#deps.logger.error('a pool cannot be read: see lanius store check', { key: kv.key, err });
      return undefined;
    }
  }

  #set(key: string, value: PoolValue | undefined, modRevision: number): void {
    if (modRevision >= (this.#pools.get(key)?.modRevision ?? 0)) this.#pools.set(key, { value, modRevision });
  }
}
