/**
 * One host of `bench alloc`: session, committer and leases as the daemon composes them (daemon/compose.ts), without
 * what is around them, on a store that counts.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../core/clock.ts';
import { deadlineAfter } from '../core/deadline.ts';
import { randomId } from '../core/ids.ts';
import { type Cidr, type IpAddress, usableRange } from '../core/ip.ts';
import { silentLogger as logger } from '../core/log.ts';
import { choiceOf } from '../ipam/address/choice.ts';
import { Committer } from '../ipam/commit/committer.ts';
import { Session } from '../ipam/commit/session.ts';
import { Leases } from '../ipam/lease/leases.ts';
import { PoolBook } from '../ipam/pool/pool-book.ts';
import { fullnessOf } from '../ipam/warm/fullness.ts';
import { WarmStock } from '../ipam/warm/warm-stock.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import { EtcdTransport } from '../store/etcd-transport.ts';
import { RECORD_KINDS, type ReleaseRecord } from '../store/host-records.ts';
import { RecordStore } from '../store/records.ts';
import { layout } from './bench-etcd.ts';
import { CountingKv } from './counting-kv.ts';

const TIMEOUT_MS = 30_000;

export interface AllocHostOptions {
  /** `127.0.0.1:port` */
  readonly etcd: string;
  readonly name: string;
  readonly coolingSeconds: number;
  /** Addresses in stock, for `takeWarm`. */
  readonly warmStock: number;
}

export class AllocHost {
  readonly name: string;
  readonly kv: CountingKv;
  /** A connection of its own for the raw calls. */
  readonly transport: EtcdTransport;
  readonly session: Session;
  readonly committer: Committer;
  readonly leases: Leases;
  readonly warmStock: WarmStock;
  readonly #book: PoolBook;
  readonly #releases: RecordStore<ReleaseRecord>;

  private constructor({ etcd, name, coolingSeconds, warmStock }: AllocHostOptions) {
    this.name = name;
    this.kv = new CountingKv(new EtcdKv({ hosts: [etcd] }, { logger, clock }));
    this.transport = new EtcdTransport({ hosts: [etcd] }, { clock, logger });
    const { kv } = this;
    const instance = randomId(8);
    const identity = {
      host: name,
      hostname: name,
      machineId: `machine-${name}`,
      bootId: randomId(16),
      instance,
      version: '0',
      labels: {},
    };
    const onSuperseded = (reason: Error): void => {
      throw reason;
    };
    this.session = new Session({ ...identity, ttlSeconds: 30 }, { kv, layout, clock, logger, onSuperseded });
    this.committer = new Committer({}, { kv, session: this.session, logger });
    this.#book = new PoolBook({ coolingSeconds }, { kv, layout, logger });
    const stateDir = mkdtempSync(join(tmpdir(), 'lanius-bench-host-'));
    const releases = new RecordStore({ stateDir, ...RECORD_KINDS.releases }, { logger });
    this.#releases = releases;
    this.leases = new Leases(identity, {
      kv,
      layout,
      committer: this.committer,
      policies: this.#book,
      releases,
      clock,
      random: Math.random,
      logger,
    });
    this.warmStock = new WarmStock(
      { size: warmStock, idleMs: 60_000 },
      {
        leases: this.leases,
        fullness: fullnessOf({ kv, layout }, Math.random),
        mayGiveOut: () => true,
        clock,
        logger,
      },
    );
  }

  static async start(options: AllocHostOptions): Promise<AllocHost> {
    const host = new AllocHost(options);
    await host.#releases.load();
    await host.session.start();
    host.committer.pump();
    await host.#book.load();
    await host.leases.load();
    return host;
  }

  /** As for a container that asks for no address of its own. */
  take(subnet: Cidr): Promise<IpAddress> {
    return this.leases.takeAny(subnet, choiceOf(usableRange(subnet)), deadlineAfter(TIMEOUT_MS, clock));
  }

  /** The same from the stock; from etcd where it is empty. */
  async takeWarm(subnet: Cidr): Promise<IpAddress> {
    return this.warmStock.take(subnet, choiceOf(usableRange(subnet))) ?? (await this.take(subnet));
  }

  async stop(): Promise<void> {
    await this.warmStock.close();
    this.committer.close();
    await this.#book.close();
    await this.session.stop();
    this.kv.close();
    this.transport.close();
  }
}
