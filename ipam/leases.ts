/**
 * Leases of this host: taking, confirming, and giving back.
 *
 * A lease is made by ONE transaction that compares "key absent" and writes the lease and the host's index, and
 * released by ONE that compares what was read; both run through the Committer, so they are fenced, grouped and
 * exact when answers are lost.
 *
 * INVARIANT: the table has an entry only for leases that etcd has confirmed for this host.
 */
import type { Clock } from '../core/clock.ts';
import { type Deadline, within } from '../core/deadline.ts';
import { Conflict, DeadlineExceeded, PoolExhausted, StoreUnavailable } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, type IpRange, rangeSize } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { ReleaseRecord } from '../store/host-records.ts';
import type { KeyValue, KvPort } from '../store/kv.ts';
import { type Layout, poolKeyOf } from '../store/layout.ts';
import type { RecordStore } from '../store/records.ts';
import type { LeaseValue } from '../store/schema.ts';
import type { LeaseHolder } from './address-service.ts';
import { Candidates } from './candidates.ts';
import type { Committer } from './committer.ts';
import { LeaseNotes } from './lease-notes.ts';
import { existingLease, holderText, type LeaseTransactions, leaseTransactions } from './lease-steps.ts';
import { type HeldLease, LeaseTable } from './lease-table.ts';
import { Releases } from './releases.ts';

export interface LeasesOptions {
  readonly host: string;
  readonly instance: string;
  readonly bootId: string;
}

export interface LeasesDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly releases: RecordStore<ReleaseRecord>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

/** Between two turns over a pool that is full but for requests under way. */
const NEARLY_FULL_PAUSE_MS = 20;
/** Ranges whose guesses are remembered; another costs one read. */
const MOST_RANGES = 256;
/** Between two tries to reach an etcd that is away. */
const AWAY_PAUSE_MS = 200;

export class Leases {
  readonly #options: LeasesOptions;
  readonly #deps: LeasesDependencies;
  readonly #table: LeaseTable;
  readonly #releases: Releases;
  readonly #notes: LeaseNotes;
  /** Asked for, not yet answered. */
  readonly #wanted = new Set<string>();
  readonly #candidates = new Map<string, Candidates>();
  #requests = 0;
  #loading: Promise<void> | undefined;
  #loaded = false;

  constructor(options: LeasesOptions, deps: LeasesDependencies) {
    this.#options = options;
    this.#deps = deps;
    const { committer, layout, logger, releases: records } = deps;
    const table = new LeaseTable(layout);
    const stepsOf = (subnet: Cidr, address: IpAddress) => this.#stepsOf(subnet, address);
    const onReleased = (held: HeldLease) => this.#giveBack(held);
    this.#table = table;
    this.#releases = new Releases(options, { table, committer, stepsOf, records, onReleased, logger });
    this.#notes = new LeaseNotes({ table, committer, stepsOf, logger });
  }

  /** Reads what this host holds (one range) and replays releases from disk. The session must be held. */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  list(): HeldLease[] {
    return this.#table.list();
  }

  get(subnet: Cidr, address: IpAddress): HeldLease | undefined {
    return this.#table.get(subnet, address);
  }

  /** A request on this address is under way. */
  busy(subnet: Cidr, address: IpAddress): boolean {
    const key = this.#table.keyOf(subnet, address);
    return this.#wanted.has(key) || this.#deps.committer.busy(key);
  }

  /** @throws PoolExhausted with counts, StoreUnavailable within the deadline */
  async takeAny(subnet: Cidr, range: IpRange, deadline: Deadline): Promise<IpAddress> {
    const candidates = this.#candidatesOf(subnet, range);
    while (deadline.leftMs() > 0) {
      const address = await patiently(() => candidates.take(deadline), deadline);
      if (address === undefined && deadline.leftMs() === 0) break;
      if (address === undefined) {
        await patiently(() => this.#refuseIfFull(subnet, range), deadline);
        await new Promise((resolve) => setTimeout(resolve, NEARLY_FULL_PAUSE_MS));
      } else if ((await this.#take(subnet, address, deadline)) === undefined) {
        return address;
      }
    }
    throw new StoreUnavailable(
      `pool ${formatCidr(subnet)} is nearly full and others were faster: start the container again`,
    );
  }

  /** @throws Conflict that names the holder */
  async takeThis(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    refuseIfTaken(subnet, address, await this.#take(subnet, address, deadline));
  }

  /** Makes sure that the endpoint has the lease; takes it (again) if nobody has it. @throws Conflict */
  async confirm(subnet: Cidr, address: IpAddress, endpointId: string, deadline: Deadline): Promise<void> {
    if (
      this.get(subnet, address) === undefined ||
      this.#deps.committer.busy(this.#table.keyOf(subnet, address))
    )
      refuseIfTaken(subnet, address, await this.#take(subnet, address, deadline, { adopt: true }));
    const held = this.get(subnet, address);
    const owner = held === undefined ? undefined : this.#table.own(held, endpointId);
    if (held !== undefined && owner !== undefined)
      refuseIfTaken(subnet, address, { ...held.value, endpointId: owner });
  }

  /**
   * Gives an address back; nothing happens if this host does not hold it. Returns when etcd has confirmed or the
   * release is on disk.
   */
  async release(subnet: Cidr, address: IpAddress): Promise<void> {
    const held = this.get(subnet, address);
    if (held !== undefined) await this.#releases.release(held);
    else if (!this.#loaded) await this.#releases.remember(subnet, address);
  }

  /**
   * Takes the lease of a living endpoint again that etcd has lost (its data wiped, or restored from a backup).
   * @throws Conflict if somebody else has the address by now
   */
  async restore(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const believed = this.get(subnet, address);
    const other = await this.#take(subnet, address, deadline, { adopt: true });
    if (other !== undefined && believed !== undefined) this.#table.forget(believed);
    refuseIfTaken(subnet, address, other);
  }

  /** Frees exactly the lease that was seen; @returns false if it has changed since. For reconciliation. */
  async releaseIfUnchanged(held: HeldLease, deadline: Deadline): Promise<boolean> {
    // Else the table, which is being read, would believe in the lease after its end.
    await this.load();
    return this.#releases.releaseIfUnchanged(held, deadline);
  }

  /** Writes the holder to the lease some time later; the newest note of an address wins. */
  noteHolder(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    this.#notes.write(subnet, address, holder);
  }

  /** Reads the host's leases from etcd, for reconciliation. Does not change the table. */
  async read(): Promise<HeldLease[]> {
    const { kvs } = await this.#deps.kv.range({ prefix: this.#deps.layout.byHost(this.#options.host) });
    return kvs.flatMap((kv) => this.#readable(kv));
  }

  /** A lease that cannot be read is left alone: its key stands, so nobody else gets the address. */
  #readable(kv: KeyValue): HeldLease[] {
    try {
      return [this.#table.read(kv)];
    } catch (err) {
      this.#deps.logger.error('a lease of this host cannot be read and is left alone', { err });
      return [];
    }
  }

  async #load(): Promise<void> {
    for (const held of await this.read()) {
      const { subnet, address } = held;
      if (this.get(subnet, address) === undefined && !this.busy(subnet, address)) this.#table.set(held);
    }
    this.#loaded = true;
    this.#releases.replay();
  }

  /** @returns the other's lease if the address is not free */
  async #take(
    subnet: Cidr,
    address: IpAddress,
    deadline: Deadline,
    options: { readonly adopt?: boolean } = {},
  ): Promise<LeaseValue | undefined> {
    const key = this.#table.keyOf(subnet, address);
    const { host, bootId, instance } = this.#options;
    this.#requests += 1;
    const request = `${instance}.${this.#requests}`;
    const value: LeaseValue = { v: 1, state: 'pending', host, request, bootId, at: this.#deps.clock.wall() };
    this.#wanted.add(key);
    try {
      failpoint('lease.before-commit');
      const step = this.#stepsOf(subnet, address).take(value);
      const result = await this.#deps.committer.submit({ ...step, deadline });
      failpoint('lease.after-commit');
      const { existing, ...revisions } = existingLease(result, value);
      const adopted = options.adopt === true && existing.host === host && existing.state !== 'reserved';
      if (existing.request !== request && !adopted) return existing;
      this.#table.set({ subnet, address, ...revisions, value: existing });
      return undefined;
    } finally {
      this.#wanted.delete(key);
    }
  }

  #stepsOf(subnet: Cidr, address: IpAddress): LeaseTransactions {
    return leaseTransactions(this.#deps.layout, this.#options.host, subnet, address);
  }

  #giveBack(held: HeldLease): void {
    const pool = `${poolKeyOf(held.subnet)} `;
    for (const [id, candidates] of this.#candidates) {
      if (id.startsWith(pool)) candidates.giveBack(held.address);
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
          const keys = keysBetween(layout, subnet, { ...range, first: first.value, last: last.value });
          const { kvs } = await kv.range(keys, { keysOnly: true, serializable: true });
          return kvs.map((item) => item.key.slice(prefix.length));
        },
        busy: (address) => this.get(subnet, address) !== undefined || this.busy(subnet, address),
      },
      { clock, random },
    );
    const [oldest] = this.#candidates.keys();
    if (oldest !== undefined && this.#candidates.size >= MOST_RANGES) this.#candidates.delete(oldest);
    this.#candidates.set(id, made);
    return made;
  }

  /** "Exhausted" is said only after etcd itself has counted. */
  async #refuseIfFull(subnet: Cidr, range: IpRange): Promise<void> {
    const { kv, layout } = this.#deps;
    const { count } = await kv.range(keysBetween(layout, subnet, range), { countOnly: true });
    const usable = rangeSize(range);
    if (BigInt(count) < usable) return;
    const pool = formatCidr(subnet);
    const [first, last] = [range.first, range.last].map((value) => formatIp({ family: range.family, value }));
    throw new PoolExhausted(
      `pool ${pool} is exhausted: 0 of ${usable} addresses from ${first} to ${last} are free, ${count} are taken: ` +
        'remove containers or use a larger pool',
      { details: { pool, usable: Number(usable), taken: count, free: 0 } },
    );
  }
}

/** Reads again while etcd is away and the caller has time; reading twice does no harm. */
async function patiently<T>(read: () => Promise<T>, deadline: Deadline): Promise<T> {
  let trouble = new StoreUnavailable(
    'etcd does not answer in time: check that etcd runs and is reachable (lanius doctor); nothing was changed',
  );
  for (;;) {
    try {
      return await within(read(), deadline, 'the answer of etcd');
    } catch (error) {
      if (error instanceof DeadlineExceeded) throw trouble;
      if (!(error instanceof StoreUnavailable)) throw error;
      trouble = error;
      await new Promise((resolve) => setTimeout(resolve, AWAY_PAUSE_MS));
    }
  }
}

/** The lease keys of a range of addresses. */
function keysBetween(layout: Layout, subnet: Cidr, range: IpRange): { from: string; to: string } {
  const { family } = range;
  const from = layout.lease(subnet, { family, value: range.first });
  return { from, to: `${layout.lease(subnet, { family, value: range.last })}\0` };
}

function refuseIfTaken(subnet: Cidr, address: IpAddress, other: LeaseValue | undefined): void {
  if (other === undefined) return;
  throw new Conflict(
    `address ${formatIp(address)} of pool ${formatCidr(subnet)} is taken: ${holderText(other)}`,
  );
}
