/**
 * Leases of this host: taking, confirming, and giving back. This file only says what there is and puts the parts
 * together; each part has a file.
 *
 * A lease is made by ONE transaction that compares "key absent" (or the reservation that was read) and writes the
 * lease and the host's index, and ended by ONE that compares what was read; both run through the Committer, so they
 * are fenced, grouped and exact when answers are lost.
 *
 * INVARIANT: the table has an entry only for leases that etcd has confirmed for this host.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { ReleaseRecord } from '../../store/host-records.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import type { RecordStore } from '../../store/records.ts';
import type { LeaseLimits } from '../../store/schema.ts';
import type { Choice } from '../address/choice.ts';
import type { LeaseHolder } from '../address-service.ts';
import type { Committer } from '../commit/committer.ts';
import { patiently } from '../commit/patiently.ts';
import { TtlBuckets } from '../commit/ttl-buckets.ts';
import { Fates } from './afterwards.ts';
import { CertainLeases } from './certain-leases.ts';
import { FixedMacs } from './fixed-macs.ts';
import { FreeAddresses } from './free-addresses.ts';
import { LeaseNotes, type LeaseNotesDependencies, type LeaseNotesOptions } from './lease-notes.ts';
import type { LeasePolicies } from './lease-policies.ts';
import { LeaseReads } from './lease-reads.ts';
import { type Afterwards, LeaseSteps } from './lease-steps.ts';
import { type HeldLease, LeaseTable } from './lease-table.ts';
import { LeaseTaker } from './lease-taker.ts';
import { type Keep, NamedLeases } from './named-leases.ts';
import { Quarantine } from './quarantine.ts';
import { Quota } from './quota.ts';
import { RefusedEndpoints } from './refused-endpoints.ts';
import { Releases } from './releases.ts';
import { Turns, type TurnsOptions } from './turns.ts';
import { WarmLeases } from './warm-leases.ts';

export interface LeasesOptions extends TurnsOptions, LeaseNotesOptions {
  readonly host: string;
  readonly instance: string;
  readonly bootId: string;
}

export interface LeasesDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly releases: RecordStore<ReleaseRecord>;
  readonly policies: LeasePolicies;
  /**
   * An endpoint of this host has the address, whatever etcd says: after a loss of data there it is not given out before
   * reconciliation has taken its lease again.
   */
  readonly hasEndpoint?: (subnet: Cidr, address: IpAddress) => boolean;
  /** How the limits of an endpoint of this host stand; absent: nobody knows. */
  readonly limitsOf?: LeaseNotesDependencies['limitsOf'];
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

export class Leases {
  readonly #options: LeasesOptions;
  readonly #deps: LeasesDependencies;
  readonly #table: LeaseTable;
  readonly #free: FreeAddresses;
  readonly #taker: LeaseTaker;
  readonly #turns: Turns;
  readonly #quota: Quota;
  readonly #releases: Releases;
  readonly #notes: LeaseNotes;
  readonly #refused: RefusedEndpoints;
  readonly #certain: CertainLeases;
  readonly #named: NamedLeases;
  readonly #warm: WarmLeases;
  readonly #fixedMacs: FixedMacs;
  readonly #quarantine: Quarantine;
  #loading: Promise<void> | undefined;
  #loaded = false;

  constructor(options: LeasesOptions, deps: LeasesDependencies) {
    this.#options = options;
    this.#deps = deps;
    const { kv, committer, layout, logger, policies, clock, random, releases: records } = deps;
    const stepsOf = (subnet: Cidr, address: IpAddress) =>
      new LeaseSteps(layout, options.host, subnet, address);
    const table = new LeaseTable(layout);
    const reads = new LeaseReads({ kv, layout });
    const ttls = new TtlBuckets({ kv, clock });
    const fates = new Fates({ policies, ttls, clock, logger });
    const taker = new LeaseTaker(options, { table, committer, stepsOf, fates, clock, logger });
    const busy = (subnet: Cidr, address: IpAddress): boolean =>
      table.get(subnet, address) !== undefined ||
      taker.busy(subnet, address) ||
      deps.hasEndpoint?.(subnet, address) === true;
    const quota = new Quota(options, { table, policies });
    const free = new FreeAddresses({ reads, busy, clock, random, logger });
    const turns = new Turns(options, { free, clock });
    const onReleased = (...released: [HeldLease, Afterwards, number]) => this.#onReleased(...released);
    const releases = new Releases(options, { table, committer, stepsOf, fates, records, onReleased, logger });
    this.#table = table;
    this.#free = free;
    this.#taker = taker;
    this.#turns = turns;
    this.#quota = quota;
    this.#releases = releases;
    const notes = new LeaseNotes(options, { table, committer, stepsOf, limitsOf: deps.limitsOf, logger });
    const refused = new RefusedEndpoints({ clock });
    const common = { table, taker, quota, releases };
    this.#notes = notes;
    this.#refused = refused;
    this.#certain = new CertainLeases(options, { ...common, refused });
    this.#named = new NamedLeases(options, { ...common, turns, reads, committer, stepsOf });
    this.#warm = new WarmLeases({ ...common, free, notes, clock });
    this.#fixedMacs = new FixedMacs({ table, committer, stepsOf });
    this.#quarantine = new Quarantine({ table, committer, stepsOf, ttls, releases, clock });
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
    return (
      this.#taker.busy(subnet, address) ||
      this.#notes.writing(subnet, address) ||
      this.#releases.underWay(subnet, address) !== undefined
    );
  }

  /**
   * Takes any free address of the choice.
   * @throws PoolExhausted with counts, or at the host's quota; StoreUnavailable within the deadline
   */
  async takeAny(subnet: Cidr, choice: Choice, deadline: Deadline): Promise<IpAddress> {
    await this.#loadForQuota(subnet, deadline);
    const slot = this.#quota.enter(subnet);
    try {
      return await this.#turns.serve(subnet, choice, deadline, async (address) => {
        const { held } = await this.#taker.take(subnet, address, { deadline, slot });
        return held?.address;
      });
    } finally {
      slot.end();
    }
  }

  /**
   * Takes this address.
   * @param name of the container, if the engine tells it: for addresses that are reserved for a name
   * @throws Conflict that names the holder; PoolExhausted at the host's quota; StoreUnavailable
   */
  async takeThis(subnet: Cidr, address: IpAddress, deadline: Deadline, name?: string): Promise<void> {
    await this.#loadForQuota(subnet, deadline);
    await this.#certain.takeThis(subnet, address, deadline, name);
  }

  /**
   * Takes the address of the name, or any of the choice, which is the name's from then on. Asked again by this host
   * before an endpoint has it, the answer is the same.
   * @throws Conflict that says who has the address of the name; PoolExhausted; StoreUnavailable
   */
  async takeForName(
    subnet: Cidr,
    name: string,
    choice: Choice,
    keep: Keep,
    deadline: Deadline,
  ): Promise<IpAddress> {
    if (!this.#loaded) await patiently(() => this.load(), deadline);
    return this.#named.take(subnet, name, choice, keep, deadline);
  }

  /**
   * Takes an address into the stock of this host (state warm): never a borrowed one, none that cools.
   * @throws PoolExhausted if there is none to spare; StoreUnavailable
   */
  async takeWarm(subnet: Cidr, choice: Choice, deadline: Deadline): Promise<HeldLease> {
    await this.#loadForQuota(subnet, deadline);
    return this.#warm.take(subnet, choice, deadline);
  }

  /** A warm lease is asked for: pending in memory at once, in etcd as soon as it answers. */
  bindWarm(held: HeldLease): void {
    this.#warm.bind(held);
  }

  /** Frees a warm lease that nobody asked for; @returns false if it is warm no longer @throws StoreUnavailable */
  giveBackWarm(held: HeldLease, deadline: Deadline): Promise<boolean> {
    return this.#warm.giveBack(held, deadline);
  }

  /** Makes sure that the endpoint has the lease; takes it (again) if nobody has it. @throws Conflict */
  confirm(subnet: Cidr, address: IpAddress, endpointId: string, deadline: Deadline): Promise<void> {
    return this.#certain.confirm(subnet, address, endpointId, deadline);
  }

  /** Says to all hosts which MAC this host's address has, if it does not follow from it. @see FixedMacs.set */
  setMac(subnet: Cidr, address: IpAddress, mac: string | undefined, deadline: Deadline): Promise<void> {
    return this.#fixedMacs.set(subnet, address, mac, deadline);
  }

  /** Sets an address aside that this host has just taken and a stranger uses. @see Quarantine.begin */
  quarantine(subnet: Cidr, address: IpAddress, mac: string, deadline: Deadline): Promise<boolean> {
    return this.#quarantine.begin(subnet, address, mac, deadline);
  }

  /**
   * Gives an address back; nothing happens if this host does not hold it. Returns when etcd has confirmed or the
   * release is on disk.
   */
  async release(subnet: Cidr, address: IpAddress): Promise<void> {
    const held = this.get(subnet, address);
    if (held !== undefined) {
      if (!this.#refused.take(this.#table.keyOf(subnet, address))) await this.#releases.release(held);
    } else if (!this.#loaded) await this.#releases.remember(subnet, address);
  }

  /**
   * Takes the lease of a living endpoint again that etcd has lost (its data wiped, or restored from a backup).
   * @throws Conflict if somebody else has the address by now
   */
  restore(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    return this.#certain.restore(subnet, address, deadline);
  }

  /** etcd has lost this lease and nothing uses the address: memory believes in it no longer. For reconciliation. */
  forget(held: HeldLease): void {
    this.#table.forget(held);
  }

  /** The endpoint that has the address; memory knows before etcd does. */
  ownerOf(subnet: Cidr, address: IpAddress): string | undefined {
    const held = this.get(subnet, address);
    return held === undefined ? undefined : this.#table.ownerOf(held);
  }

  /**
   * Ends exactly the lease that was seen. For reconciliation.
   * @param seen its owner, if it was looked at: an endpoint that has come since is known to memory only
   * @returns false if it has changed since
   */
  async releaseIfUnchanged(
    held: HeldLease,
    deadline: Deadline,
    seen?: { readonly owner: string | undefined },
  ): Promise<boolean> {
    // Else the table, which is being read, would believe in the lease after its end.
    await this.load();
    // Memory is ahead of etcd: a container has asked for it, or has it.
    if (this.#notes.writing(held.subnet, held.address)) return false;
    if (seen !== undefined && this.ownerOf(held.subnet, held.address) !== seen.owner) return false;
    return this.#releases.releaseIfUnchanged(held, deadline);
  }

  /** Writes the holder to the lease some time later; the newest note of an address wins. */
  noteHolder(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    this.#notes.bound(subnet, address, holder);
  }

  /** Writes to the lease how its limits stand, with the holder where that is still to come. */
  noteLimits(subnet: Cidr, address: IpAddress, limits: LeaseLimits): void {
    this.#notes.limits(subnet, address, limits);
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
    this.#notes.loaded();
    this.#releases.replay();
  }

  async #loadForQuota(subnet: Cidr, deadline: Deadline): Promise<void> {
    if (!this.#loaded && this.#quota.isSet(subnet)) await patiently(() => this.load(), deadline);
  }

  #onReleased({ subnet, address }: HeldLease, afterwards: Afterwards, revision: number): void {
    if (afterwards.fate === 'keep') {
      const { reserved } = afterwards;
      const kept = { address, reserved: { value: reserved, modRevision: revision } };
      if (reserved.name !== undefined) this.#named.memory.remember(subnet, reserved.name, kept);
      this.#free.released(subnet, address, undefined);
      return;
    }
    const seconds = afterwards.fate === 'cool' ? this.#deps.policies.coolingSeconds(subnet) : 0;
    this.#free.released(subnet, address, { seconds, revision });
  }
}
