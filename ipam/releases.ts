/**
 * Giving leases back. A release compares the create revision that was read, so it is harmless when done twice or
 * late. The engine asks once: when etcd does not confirm soon, the release goes to disk and is replayed, also
 * after a restart.
 */
import type { Deadline } from '../core/deadline.ts';
import { failpoint } from '../core/failpoint.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr, parseIp } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { ReleaseRecord } from '../store/host-records.ts';
import type { RecordStore } from '../store/records.ts';
import type { Committer } from './committer.ts';
import type { LeaseTransactions } from './lease-steps.ts';
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
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseTransactions;
  readonly records: RecordStore<ReleaseRecord>;
  /** A lease is gone. */
  readonly onReleased: (held: HeldLease) => void;
  readonly logger: Logger;
}

const WAIT_MS = 800;

export class Releases {
  readonly #options: ReleasesOptions;
  readonly #deps: ReleasesDependencies;

  constructor(options: ReleasesOptions, deps: ReleasesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Returns when etcd has confirmed, or when the release is on disk. */
  async release(held: HeldLease): Promise<void> {
    failpoint('release.before-commit');
    const work = this.#commit(held);
    const done = work.then(
      () => true,
      (err: unknown) => {
        this.#deps.logger.warn('etcd did not take a release', { address: formatIp(held.address), err });
        return false;
      },
    );
    if (await Promise.race([done, later(this.#options.waitMs ?? WAIT_MS)])) return;
    const record = recordOf(held.subnet, held.address, held.createRevision);
    await this.#deps.records.put(idOf(record), record);
    void this.#forgetAfter(work, record);
  }

  /** For an address whose lease is not known yet, because etcd was away since the start. */
  async remember(subnet: Cidr, address: IpAddress): Promise<void> {
    const record = recordOf(subnet, address, 0);
    await this.#deps.records.put(idOf(record), record);
  }

  /** Frees exactly the lease that was seen; @returns false if it has changed since. For reconciliation. */
  async releaseIfUnchanged(held: HeldLease, deadline: Deadline): Promise<boolean> {
    const { committer, stepsOf, table, onReleased } = this.#deps;
    const step = stepsOf(held.subnet, held.address).release({ modRevision: held.modRevision });
    const { succeeded } = await committer.submit({ ...step, deadline });
    if (succeeded) {
      table.forget(held);
      onReleased(held);
    }
    return succeeded;
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

  async #commit(held: HeldLease): Promise<void> {
    const { committer, stepsOf, table, onReleased } = this.#deps;
    await committer.submit(
      stepsOf(held.subnet, held.address).release({ createRevision: held.createRevision }),
    );
    failpoint('release.after-commit');
    table.forget(held);
    onReleased(held);
  }

  /** Revision 0: released before the table was read, so any lease that this process did not make itself. */
  #isOf(record: ReleaseRecord, held: HeldLease): boolean {
    if (record.createRevision !== 0) return record.createRevision === held.createRevision;
    return !held.value.request.startsWith(`${this.#options.instance}.`);
  }
}

function recordOf(subnet: Cidr, address: IpAddress, createRevision: number): ReleaseRecord {
  return { v: 1, subnet: formatCidr(subnet), address: formatIp(address), createRevision };
}

function idOf(record: ReleaseRecord): string {
  return `${record.subnet}_${record.address}_${record.createRevision}`;
}

function later(ms: number): Promise<false> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), ms).unref();
  });
}
