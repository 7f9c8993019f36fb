/**
 * The address management of one host, on a real etcd and a real state folder, without the daemon around it: so
 * that a test can have many hosts in one process, kill one (by leaving it) and start it again on its folder.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import type { Conflict } from '../../core/errors.ts';
import { randomId } from '../../core/ids.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { Addresses } from '../../ipam/addresses.ts';
import { ClaimBook } from '../../ipam/claim-book.ts';
import { Committer } from '../../ipam/committer.ts';
import { Leases } from '../../ipam/leases.ts';
import { Pools } from '../../ipam/pools.ts';
import { Session } from '../../ipam/session.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import { type ClaimRecord, RECORD_KINDS, type ReleaseRecord } from '../../store/host-records.ts';
import { layoutOf } from '../../store/layout.ts';
import { RecordStore } from '../../store/records.ts';

export interface IpamHostOptions {
  /** `127.0.0.1:port` */
  readonly etcd: string;
  readonly name: string;
  readonly machineId?: string;
  /** Of an earlier instance, to be its successor. */
  readonly stateDir?: string;
  readonly ttlSeconds?: number;
}

export const layout = layoutOf('/lanius/v1/');

export class IpamHost {
  readonly stateDir: string;
  readonly kv: EtcdKv;
  readonly session: Session;
  readonly committer: Committer;
  readonly leases: Leases;
  readonly pools: Pools;
  readonly addresses: Addresses;
  readonly claimBook: ClaimBook;
  readonly claims: RecordStore<ClaimRecord>;
  readonly #releases: RecordStore<ReleaseRecord>;
  superseded: Conflict | undefined;

  constructor(options: IpamHostOptions & { readonly stateDir: string }) {
    const { stateDir, name: host } = options;
    this.stateDir = stateDir;
    const identity = {
      host,
      hostname: host,
      machineId: options.machineId ?? `machine-${host}`,
      bootId: 'boot',
      instance: randomId(8),
      version: '0',
    };
    this.kv = new EtcdKv({ hosts: [options.etcd], timeoutMs: 1000 }, { logger, clock });
    this.claims = new RecordStore({ stateDir, ...RECORD_KINDS.claims }, { logger });
    this.#releases = new RecordStore({ stateDir, ...RECORD_KINDS.releases }, { logger });
    const onSuperseded = (reason: Conflict): void => {
      this.superseded = reason;
    };
    this.session = new Session(
      { ...identity, ttlSeconds: options.ttlSeconds ?? 15 },
      { kv: this.kv, layout, clock, logger, onSuperseded },
    );
    this.committer = new Committer({}, { kv: this.kv, session: this.session, logger });
    const { kv, committer } = this;
    this.leases = new Leases(identity, {
      kv,
      layout,
      committer,
      releases: this.#releases,
      clock,
      random: Math.random,
      logger,
    });
    this.pools = new Pools(identity, { kv, layout, committer, clock });
    this.claimBook = new ClaimBook({ pools: this.pools, claims: this.claims, clock, logger });
    const deps = { leases: this.leases, pools: this.pools, claims: this.claimBook, clock };
    this.addresses = new Addresses({ configuredPools: [] }, deps);
  }

  /** A host that holds its session and has read its leases. */
  static async start(options: IpamHostOptions): Promise<IpamHost> {
    const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), 'lanius-host-')));
    const host = new IpamHost({ ...options, stateDir });
    await host.claims.load();
    await host.#releases.load();
    await host.session.start().catch((error: unknown) => {
      host.abandon();
      throw error;
    });
    host.committer.pump();
    await host.leases.load();
    return host;
  }

  /** As after kill -9: nothing is said to etcd, nothing goes on. The folder stays. */
  abandon(): void {
    this.committer.close();
    this.kv.close();
    void this.session.stop();
  }

  async stop(): Promise<void> {
    this.committer.close();
    await this.session.stop();
    this.kv.close();
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

export function soon(timeoutMs = 4000): Deadline {
  return deadlineAfter(timeoutMs, clock);
}
