/**
 * Leases of this host: taking, giving back, and the table of what is held.
 *
 * A lease is made by ONE transaction that compares "key absent" and writes the lease and the host's index, and
 * released by ONE that compares the create revision that was read; both run through the Committer, so they are
 * fenced, grouped and exact when answers are lost.
 *
 * INVARIANTS
 * - `#held` has an entry only for leases that etcd has confirmed for this host.
 * - A release is remembered on disk (`releases`) when etcd does not confirm it soon; it is replayed at start and
 *   harmless when done twice, because it compares the create revision.
 */
import type { Clock } from '../core/clock.ts';
import type { Deadline } from '../core/deadline.ts';
import { Conflict, PoolExhausted, StoreUnavailable } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import {
  type Cidr,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpRange,
  parseCidr,
  parseIp,
  rangeSize,
} from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { ReleaseRecord } from '../store/host-records.ts';
import type { KeyValue, KvPort } from '../store/kv.ts';
import { type Layout, poolKeyOf } from '../store/layout.ts';
import type { RecordStore } from '../store/records.ts';
import { decode, type LeaseValue, leaseSchema } from '../store/schema.ts';
import type { LeaseHolder } from './address-service.ts';
import { Candidates } from './candidates.ts';
import type { Committer, Step } from './committer.ts';
import { existingLease, holderText, leaseTransactions } from './lease-steps.ts';

export interface HeldLease {
  readonly subnet: Cidr;
  readonly address: IpAddress;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly value: LeaseValue;
}

export interface LeasesOptions {
  readonly host: string;
  readonly instance: string;
  readonly bootId: string;
  /** How long a release waits for etcd before it goes to disk, in milliseconds. */
  readonly releaseWaitMs?: number;
}

export interface LeasesDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly releases: RecordStore<ReleaseRecord>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
}

/** Between two turns over a pool that is full but for requests under way. */
const NEARLY_FULL_PAUSE_MS = 20;

export class Leases {
  readonly #options: LeasesOptions;
  readonly #deps: LeasesDependencies;
  readonly #held = new Map<string, HeldLease>();
  /** Guessed or asked for, not yet answered. */
  readonly #wanted = new Set<string>();
  readonly #candidates = new Map<string, Candidates>();
  readonly #notes = new Map<string, LeaseHolder>();
  #requests = 0;
  #loaded: Promise<void> | undefined;
  #isLoaded = false;

  constructor(options: LeasesOptions, deps: LeasesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  get loaded(): boolean {
    return this.#isLoaded;
  }

  /** Reads what this host holds (one range) and replays releases from disk. The session must be held. */
  load(): Promise<void> {
    this.#loaded ??= this.#load().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  list(): HeldLease[] {
    return [...this.#held.values()];
  }

  get(subnet: Cidr, address: IpAddress): HeldLease | undefined {
    return this.#held.get(this.#key(subnet, address));
  }

  /** A request on this address is under way. */
  busy(subnet: Cidr, address: IpAddress): boolean {
    const key = this.#key(subnet, address);
    return this.#wanted.has(key) || this.#deps.committer.busy(key);
  }

  /** @throws PoolExhausted with counts, StoreUnavailable within the deadline */
  async takeAny(subnet: Cidr, range: IpRange, deadline: Deadline): Promise<IpAddress> {
    const candidates = this.#candidatesOf(subnet, range);
    for (;;) {
      const address = await candidates.take();
      if (address === undefined) {
        await this.#refuseIfFull(subnet, range);
        await new Promise((resolve) => setTimeout(resolve, NEARLY_FULL_PAUSE_MS));
      } else {
        const other = await this.#take(subnet, address, deadline);
        if (other === undefined) return address;
      }
      if (deadline.leftMs() === 0) {
        throw new StoreUnavailable(
          `pool ${formatCidr(subnet)} is nearly full and others were faster: start the container again`,
        );
      }
    }
  }

  /** @throws Conflict that names the holder */
  async takeThis(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const other = await this.#take(subnet, address, deadline);
    if (other !== undefined) {
      throw new Conflict(
        `address ${formatIp(address)} of pool ${formatCidr(subnet)} is taken: ${holderText(other)}`,
      );
    }
  }

  /** Makes sure that the lease is held; takes it (again) if nobody has it. @throws Conflict */
  async confirm(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const key = this.#key(subnet, address);
    if (this.#held.has(key) && !this.#deps.committer.busy(key)) return;
    const other = await this.#take(subnet, address, deadline, { adopt: true });
    if (other !== undefined) {
      throw new Conflict(
        `address ${formatIp(address)} of pool ${formatCidr(subnet)} is taken: ${holderText(other)}`,
      );
    }
  }

  /**
   * Gives an address back; nothing happens if this host does not hold it. Returns when etcd has confirmed or the
   * release is on disk.
   */
  async release(subnet: Cidr, address: IpAddress): Promise<void> {
    const held = this.get(subnet, address);
    if (held === undefined && this.#isLoaded) return;
    failpoint('release.before-commit');
    const record: ReleaseRecord = {
      v: 1,
      subnet: formatCidr(subnet),
      address: formatIp(address),
      createRevision: held?.createRevision ?? 0,
    };
    if (held === undefined) {
      // Not loaded yet (etcd is away since the start): the create revision is filled in when the table is read.
      await this.#deps.releases.put(releaseId(record), record);
      return;
    }
    const work = this.#release(held);
    const inTime = await Promise.race([work.then(() => true), later(this.#options.releaseWaitMs ?? 800)]);
    if (inTime === true) return;
    await this.#deps.releases.put(releaseId(record), record);
    void work.then(() => this.#deps.releases.delete(releaseId(record)));
  }

  /** Frees exactly the lease that was seen; @returns false if it has changed since. For reconciliation. */
  async releaseIfUnchanged(held: HeldLease, deadline: Deadline): Promise<boolean> {
    const steps = leaseTransactions(this.#deps.layout, this.#options.host, held.subnet, held.address);
    const result = await this.#deps.committer.submit({
      ...steps.release({ modRevision: held.modRevision }),
      deadline,
    });
    if (result.succeeded) this.#forget(held);
    return result.succeeded;
  }

  /** Writes the holder to the lease some time later; the newest note of an address wins. */
  noteHolder(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    const key = this.#key(subnet, address);
    const writing = this.#notes.has(key);
    this.#notes.set(key, holder);
    if (!writing) void this.#writeNote(key);
  }

  /** Reads the host's leases from etcd, for reconciliation. Does not change the table. */
  async read(): Promise<HeldLease[]> {
    const { kvs } = await this.#deps.kv.range({ prefix: this.#deps.layout.byHost(this.#options.host) });
    return kvs.map((kv) => this.#heldOf(kv));
  }

  async #load(): Promise<void> {
    for (const held of await this.read()) {
      const key = this.#key(held.subnet, held.address);
      if (!this.#held.has(key) && !this.busy(held.subnet, held.address)) this.#held.set(key, held);
    }
    this.#isLoaded = true;
    for (const record of this.#deps.releases.list()) {
      const held = this.get(parseCidr(record.subnet), parseIp(record.address));
      const same = held !== undefined && this.#isOf(record, held);
      const done = same ? this.#release(held) : Promise.resolve();
      void done.then(() => this.#deps.releases.delete(releaseId(record)));
    }
  }

  /** Revision 0: released before the table was read, so any lease that this process did not make itself. */
  #isOf(record: ReleaseRecord, held: HeldLease): boolean {
    if (record.createRevision !== 0) return record.createRevision === held.createRevision;
    return !held.value.request.startsWith(`${this.#options.instance}.`);
  }

  /** @returns the other's lease if the address is not free */
  async #take(
    subnet: Cidr,
    address: IpAddress,
    deadline: Deadline,
    options: { readonly adopt?: boolean } = {},
  ): Promise<LeaseValue | undefined> {
    const key = this.#key(subnet, address);
    const steps = leaseTransactions(this.#deps.layout, this.#options.host, subnet, address);
    this.#requests += 1;
    const request = `${this.#options.instance}.${this.#requests}`;
    const { host, bootId } = this.#options;
    const value: LeaseValue = { v: 1, state: 'pending', host, request, bootId, at: this.#deps.clock.wall() };
    this.#wanted.add(key);
    try {
      failpoint('lease.before-commit');
      const result = await this.#deps.committer.submit({ ...steps.take(value), deadline });
      failpoint('lease.after-commit');
      const { createRevision, modRevision, existing } = existingLease(result, value);
      const mine =
        existing.request === request ||
        (options.adopt === true && existing.host === host && existing.state !== 'reserved');
      if (!mine) return existing;
      this.#held.set(key, { subnet, address, createRevision, modRevision, value: existing });
      return undefined;
    } finally {
      this.#wanted.delete(key);
    }
  }

  async #release(held: HeldLease): Promise<void> {
    const steps = leaseTransactions(this.#deps.layout, this.#options.host, held.subnet, held.address);
    const step: Step = steps.release({ createRevision: held.createRevision });
    await this.#deps.committer.submit(step);
    failpoint('release.after-commit');
    this.#forget(held);
  }

  #forget(held: HeldLease): void {
    const key = this.#key(held.subnet, held.address);
    if (this.#held.get(key)?.createRevision === held.createRevision) this.#held.delete(key);
    const poolKey = poolKeyOf(held.subnet);
    for (const [id, candidates] of this.#candidates) {
      if (id.startsWith(`${poolKey} `)) candidates.giveBack(held.address);
    }
  }

  async #writeNote(key: string): Promise<void> {
    try {
      for (;;) {
        const holder = this.#notes.get(key);
        const held = this.#held.get(key);
        if (holder === undefined || held === undefined) return;
        await this.#bind(held, holder);
        if (this.#notes.get(key) === holder) return;
      }
    } catch (error) {
      this.#deps.logger.warn('the holder of a lease could not be written', { err: error });
    } finally {
      this.#notes.delete(key);
    }
  }

  async #bind(held: HeldLease, holder: LeaseHolder): Promise<void> {
    const steps = leaseTransactions(this.#deps.layout, this.#options.host, held.subnet, held.address);
    const value: LeaseValue = { ...held.value, ...holder, state: 'bound' };
    const result = await this.#deps.committer.submit(steps.replace(held.modRevision, value));
    const key = this.#key(held.subnet, held.address);
    if (result.succeeded && this.#held.get(key) === held) {
      this.#held.set(key, { ...held, value, modRevision: result.revision });
    }
  }

  #candidatesOf(subnet: Cidr, range: IpRange): Candidates {
    const id = `${poolKeyOf(subnet)} ${range.first}-${range.last}`;
    const known = this.#candidates.get(id);
    if (known !== undefined) return known;
    const { kv, layout, clock, random } = this.#deps;
    const prefix = layout.leases(subnet);
    const made = new Candidates(
      {
        range,
        taken: async (first, last) => {
          const from = layout.lease(subnet, first);
          const to = `${layout.lease(subnet, last)}\0`;
          const { kvs } = await kv.range({ from, to }, { keysOnly: true, serializable: true });
          return kvs.map((item) => item.key.slice(prefix.length));
        },
        busy: (address) => this.busy(subnet, address) || this.#held.has(this.#key(subnet, address)),
      },
      { clock, random },
    );
    this.#candidates.set(id, made);
    return made;
  }

  /** "Exhausted" is said only after etcd itself has counted. */
  async #refuseIfFull(subnet: Cidr, range: IpRange): Promise<void> {
    const { kv, layout } = this.#deps;
    const { family, first, last } = range;
    const from = layout.lease(subnet, { family, value: first });
    const to = `${layout.lease(subnet, { family, value: last })}\0`;
    const { count } = await kv.range({ from, to }, { countOnly: true });
    const usable = rangeSize(range);
    if (BigInt(count) < usable) return;
    const pool = formatCidr(subnet);
    throw new PoolExhausted(
      `pool ${pool} is exhausted: 0 of ${usable} addresses from ${formatIp({ family, value: first })} to ` +
        `${formatIp({ family, value: last })} are free, ${count} are taken: remove containers or use a larger pool`,
      { details: { pool, usable: Number(usable), taken: count, free: 0 } },
    );
  }

  #heldOf(kv: KeyValue): HeldLease {
    const { subnet, address } = this.#deps.layout.addressOf(kv.key);
    const value = decode(leaseSchema, kv.key, kv.value);
    return { subnet, address, createRevision: kv.createRevision, modRevision: kv.modRevision, value };
  }

  #key(subnet: Cidr, address: IpAddress): string {
    return this.#deps.layout.lease(subnet, address);
  }
}

function releaseId(record: ReleaseRecord): string {
  return `${record.subnet}_${record.address}_${record.createRevision}`;
}

function later(ms: number): Promise<false> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), ms).unref();
  });
}
