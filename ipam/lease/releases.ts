/**
 * Giving leases back. A release compares the lease as this host knows it; where it has changed meanwhile (a note, an
 * operator's reservation) it is read again, so that what becomes of the address is decided from the truth, and a
 * release that is done twice or late does nothing. The engine asks once: when etcd does not confirm soon, the release
 * goes to disk and is replayed, also after a restart.
 */
import type { Deadline } from '../../core/deadline.ts';
import { NotFound, StoreUnavailable } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { ReleaseRecord } from '../../store/host-records.ts';
import type { RecordStore } from '../../store/records.ts';
import type { Committer } from '../commit/committer.ts';
import type { Fates } from './afterwards.ts';
import { type Afterwards, type LeaseSteps, standingLease } from './lease-steps.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';

export interface ReleasesOptions {
  /** Of this process. */
  readonly instance: string;
  /** How long a release waits for etcd before it goes to disk, in milliseconds. */
  readonly waitMs?: number;
}

export interface ReleasesDependencies {
  readonly table: LeaseTable;
  readonly committer: Committer;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
  readonly fates: Fates;
  readonly records: RecordStore<ReleaseRecord>;
  /** A lease is gone. @param revision of its release */
  readonly onReleased: (held: HeldLease, afterwards: Afterwards, revision: number) => void;
  readonly logger: Logger;
}

const WAIT_MS = 800;
/** Between two tries to get the TTL that an address is to be kept on. */
const RETRY_MS = 200;

export class Releases {
  readonly #options: ReleasesOptions;
  readonly #deps: ReleasesDependencies;
  /** Releases under way, by key of the lease. */
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(options: ReleasesOptions, deps: ReleasesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** The end of the releases that are under way, if some are; never rejected. */
  underWay(subnet: Cidr, address: IpAddress): Promise<unknown> | undefined {
    return this.#underWay.get(this.#deps.table.keyOf(subnet, address));
  }

  /** Returns when etcd has confirmed, or when the release is on disk. */
  async release(held: HeldLease): Promise<void> {
    const work = this.#commit(held);
    const done = work.then(
      () => true,
      (err: unknown) => {
        this.#deps.logger.warn('etcd did not take a release', { address: formatIp(held.address), err });
        return false;
      },
    );
    if (await inTime(done, this.#options.waitMs ?? WAIT_MS)) return;
    const record = recordOf(held.subnet, held.address, held);
    await this.#deps.records.put(idOf(record), record);
    failpoint('release.after-record');
    void this.#forgetAfter(work, record);
  }

  /** For an address whose lease is not known yet, because etcd was away since the start. */
  async remember(subnet: Cidr, address: IpAddress): Promise<void> {
    const record = recordOf(subnet, address);
    await this.#deps.records.put(idOf(record), record);
  }

  /**
   * Ends exactly the lease that was seen. For reconciliation.
   * @returns false if it has changed since
   * @throws StoreUnavailable when the time is up
   */
  async releaseIfUnchanged(
    held: HeldLease,
    deadline: Deadline,
    options: { readonly cooling: boolean } = { cooling: true },
  ): Promise<boolean> {
    return (await this.#track(held, this.#end(held, options, deadline))) === 'released';
  }

  /** Does what is on disk; to be called once, when the table has been read. */
  replay(): void {
    for (const record of this.#deps.records.list()) {
      const held = this.#deps.table.get(parseCidr(record.subnet), parseIp(record.address));
      const done = held !== undefined && this.#isOf(record, held) ? this.#commit(held) : Promise.resolve();
      void this.#forgetAfter(done, record);
    }
  }

  /** Never throws: what etcd did not take, at the latest because the daemon ends, stays on disk for the next start. */
  async #forgetAfter(work: Promise<void>, record: ReleaseRecord): Promise<void> {
    try {
      await work;
      await this.#deps.records.delete(idOf(record));
    } catch (err) {
      this.#deps.logger.debug('a release stays on disk', { address: record.address, err });
    }
  }

  /** Until it is done, for as long as the daemon lives. */
  #commit(held: HeldLease): Promise<void> {
    // A release that the engine asks for before the leases have been read comes here by way of the disk.
    failpoint('release.before-commit');
    return this.#track(held, this.#commitUntilDone(held));
  }

  #track<T>(held: HeldLease, release: Promise<T>): Promise<T> {
    const key = this.#deps.table.keyOf(held.subnet, held.address);
    const earlier = this.#underWay.get(key);
    const ended = (): void => {
      if (this.#underWay.get(key) === all) this.#underWay.delete(key);
    };
    const all: Promise<unknown> =
      earlier === undefined ? release.then(ended, ended) : Promise.allSettled([earlier, release]).then(ended);
    this.#underWay.set(key, all);
    return release;
  }

  async #commitUntilDone(released: HeldLease): Promise<void> {
    const { table, committer } = this.#deps;
    let held = released;
    for (;;) {
      try {
        const outcome = await this.#end(held, { cooling: true });
        if (outcome === 'released') failpoint('release.after-commit');
        if (outcome !== 'changed') return;
        const known = table.get(held.subnet, held.address);
        if (known?.value.request !== released.value.request) return;
        held = known;
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || committer.closed) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** One try. Where the lease is still this host's and has changed, the table has it as it is afterwards. */
  async #end(
    held: HeldLease,
    options: { readonly cooling: boolean },
    deadline?: Deadline,
  ): Promise<'released' | 'gone' | 'changed'> {
    const { committer, stepsOf, table, fates, onReleased } = this.#deps;
    const { subnet, address, value, modRevision } = held;
    const afterwards = await fates.of(subnet, value, options);
    failpoint('release.after-grant');
    const step = stepsOf(subnet, address).release({ modRevision }, afterwards, value);
    try {
      const result = await committer.submit({ ...step, ...(deadline === undefined ? {} : { deadline }) });
      if (result.succeeded) {
        table.forget(held);
        onReleased(held, afterwards, result.revision);
        return 'released';
      }
      const standing = standingLease(result);
      const mine = standing?.value.request === value.request && standing.value.state !== 'reserved';
      if (standing === undefined || !mine) {
        table.forget(held);
        return 'gone';
      }
      const known = table.get(subnet, address);
      if (known?.value.request === value.request) table.set({ ...known, ...standing });
      return 'changed';
    } catch (error) {
      if (!(error instanceof NotFound) || afterwards.fate === 'free') throw error;
      await fates.ttlGone(afterwards);
      return this.#end(held, options, deadline);
    }
  }

  /** Without a revision: released before the table was read, so any lease that this process did not make itself. */
  #isOf(record: ReleaseRecord, held: HeldLease): boolean {
    if (record.request !== undefined) return record.request === held.value.request;
    if (record.createRevision !== 0) return record.createRevision === held.createRevision;
    return !held.value.request.startsWith(`${this.#options.instance}.`);
  }
}

function recordOf(subnet: Cidr, address: IpAddress, held?: HeldLease): ReleaseRecord {
  return {
    v: 1,
    subnet: formatCidr(subnet),
    address: formatIp(address),
    createRevision: held?.createRevision ?? 0,
    ...(held === undefined ? {} : { request: held.value.request }),
  };
}

function idOf(record: ReleaseRecord): string {
  return `${record.subnet}_${record.address}_${record.createRevision}`;
}

/** @returns false if it is not done in time */
function inTime(done: Promise<boolean>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void done.then((result) => {
      clearTimeout(timer);
      resolve(result);
    });
  });
}
