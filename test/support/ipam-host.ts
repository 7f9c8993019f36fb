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
import { type Logger, silentLogger as logger } from '../../core/log.ts';
import { Addresses, type Strangers } from '../../ipam/addresses.ts';
import { Committer } from '../../ipam/commit/committer.ts';
import { untilDone } from '../../ipam/commit/patiently.ts';
import { Session } from '../../ipam/commit/session.ts';
import type { LeasePolicies } from '../../ipam/lease/lease-policies.ts';
import { Leases, type LeasesDependencies } from '../../ipam/lease/leases.ts';
import { ClaimBook } from '../../ipam/pool/claim-book.ts';
import { PoolAdmin } from '../../ipam/pool/pool-admin.ts';
import { PoolBook } from '../../ipam/pool/pool-book.ts';
import { Pools } from '../../ipam/pool/pools.ts';
import { fullnessOf } from '../../ipam/warm/fullness.ts';
import { WarmStock } from '../../ipam/warm/warm-stock.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import { type ClaimRecord, RECORD_KINDS, type ReleaseRecord } from '../../store/host-records.ts';
import type { KvPort } from '../../store/kv.ts';
import { layoutOf } from '../../store/layout.ts';
import { RecordStore } from '../../store/records.ts';

export interface IpamHostOptions {
  /** `127.0.0.1:port`, or of every member. */
  readonly etcd: string | readonly string[];
  readonly name: string;
  readonly machineId?: string;
  /** Of an earlier instance, to be its successor. */
  readonly stateDir?: string;
  readonly ttlSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** Addresses leased ahead; none by default. */
  readonly warm?: { readonly size: number; readonly idleMs?: number; readonly checkMs?: number };
  /** Instead of those of the pools in etcd. */
  readonly policies?: LeasePolicies;
  /** Asks the wire; nobody answers by default. */
  readonly strangers?: Strangers;
  /** Addresses of its own endpoints, whatever etcd says. */
  readonly hasEndpoint?: LeasesDependencies['hasEndpoint'];
  /** Of the leases. */
  readonly logger?: Logger;
  /** How long limits wait for the holder, in milliseconds. */
  readonly holderWaitMs?: number;
  readonly limitsOf?: LeasesDependencies['limitsOf'];
  /** Called before anything is read from etcd. */
  readonly begun?: (host: IpamHost) => void;
  /** How long a request waits for an address of a full pool, in milliseconds. */
  readonly fullWaitMs?: number;
  /** Puts something between the host and its store. */
  readonly wrapKv?: (kv: KvPort) => KvPort;
}

export const layout = layoutOf('/lanius/v1/');

export class IpamHost {
  readonly stateDir: string;
  readonly kv: KvPort;
  readonly session: Session;
  readonly committer: Committer;
  readonly leases: Leases;
  readonly book: PoolBook;
  readonly pools: Pools;
  readonly poolAdmin: PoolAdmin;
  readonly addresses: Addresses;
  readonly claimBook: ClaimBook;
  readonly claims: RecordStore<ClaimRecord>;
  readonly #releases: RecordStore<ReleaseRecord>;
  readonly instance: string;
  readonly warmStock: WarmStock | undefined;
  /** What the session has told of etcd. */
  readonly storeChanges: string[] = [];
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
      labels: options.labels ?? {},
    };
    this.instance = identity.instance;
    const hosts = typeof options.etcd === 'string' ? [options.etcd] : options.etcd;
    const store = new EtcdKv({ hosts, timeoutMs: 1000 }, { logger, clock });
    this.kv = options.wrapKv?.(store) ?? store;
    this.claims = new RecordStore({ stateDir, ...RECORD_KINDS.claims }, { logger });
    this.#releases = new RecordStore({ stateDir, ...RECORD_KINDS.releases }, { logger });
    const onSuperseded = (reason: Conflict): void => {
      this.superseded = reason;
    };
    this.session = new Session(
      { ...identity, ttlSeconds: options.ttlSeconds ?? 15 },
      {
        kv: this.kv,
        layout,
        clock,
        logger,
        onSuperseded,
        onStoreChanged: (reason) => {
          this.storeChanges.push(reason);
          this.warmStock?.forget();
        },
      },
    );
    this.committer = new Committer({}, { kv: this.kv, session: this.session, logger });
    const { kv, committer } = this;
    const book = new PoolBook({ coolingSeconds: 0 }, { kv, layout, logger });
    this.book = book;
    const { fullWaitMs, holderWaitMs, hasEndpoint, limitsOf } = options;
    this.leases = new Leases(
      {
        ...identity,
        ...(fullWaitMs === undefined ? {} : { fullWaitMs }),
        ...(holderWaitMs === undefined ? {} : { holderWaitMs }),
      },
      {
        kv,
        layout,
        committer,
        policies: options.policies ?? book,
        releases: this.#releases,
        clock,
        ...(hasEndpoint === undefined ? {} : { hasEndpoint }),
        limitsOf,
        random: Math.random,
        logger: options.logger ?? logger,
      },
    );
    this.pools = new Pools(identity, { kv, layout, committer, book, clock });
    this.poolAdmin = new PoolAdmin({ host, configuredPools: [] }, { kv, layout, committer, book, clock });
    this.claimBook = new ClaimBook({ pools: this.pools, claims: this.claims, clock, logger });
    const { warm } = options;
    const fullness = fullnessOf({ kv, layout }, Math.random);
    const warmDeps = { leases: this.leases, fullness, mayGiveOut: () => true, clock, logger };
    this.warmStock = warm === undefined ? undefined : new WarmStock({ idleMs: 600_000, ...warm }, warmDeps);
    const deps = {
      leases: this.leases,
      pools: this.pools,
      book,
      claims: this.claimBook,
      clock,
      ...(options.strangers === undefined ? {} : { strangers: options.strangers }),
      ...(this.warmStock === undefined ? {} : { warmStock: this.warmStock }),
    };
    const { labels = {} } = options;
    this.addresses = new Addresses({ configuredPools: [], labels }, deps);
  }

  /** A host that holds its session and has read its leases. */
  static async start(options: IpamHostOptions): Promise<IpamHost> {
    const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), 'lanius-host-')));
    const host = new IpamHost({ ...options, stateDir });
    options.begun?.(host);
    await host.claims.load();
    await host.#releases.load();
    await host.session.start().catch((error: unknown) => {
      host.abandon();
      throw error;
    });
    host.committer.pump();
    await untilDone(() => host.book.load());
    await untilDone(() => host.leases.load());
    return host;
  }

  /** As after kill -9: nothing is said to etcd, nothing goes on. The folder stays. */
  abandon(): void {
    this.committer.close();
    void this.book.close();
    this.kv.close();
    void this.session.stop();
  }

  async stop(): Promise<void> {
    await this.warmStock?.close();
    this.committer.close();
    await this.book.close();
    await this.session.stop();
    this.kv.close();
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

export function soon(timeoutMs = 4000): Deadline {
  return deadlineAfter(timeoutMs, clock);
}
