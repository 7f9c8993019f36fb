/**
 * The handlers on real ground: a real etcd, the real kernel in a namespace of its own, records on a real disk, and
 * the plugin socket in front. Only the engine is played.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../core/clock.ts';
import { randomId } from '../../core/ids.ts';
import { silentLogger } from '../../core/log.ts';
import { DEFAULT_MAC_PREFIX } from '../../core/mac.ts';
import { composeArp } from '../../daemon/compose-arp.ts';
import { composeLinks } from '../../daemon/compose-links.ts';
import { Addresses } from '../../ipam/addresses.ts';
import { Committer } from '../../ipam/commit/committer.ts';
import { Session } from '../../ipam/commit/session.ts';
import { Leases } from '../../ipam/lease/leases.ts';
import { ClaimBook } from '../../ipam/pool/claim-book.ts';
import type { ConfiguredPool } from '../../ipam/pool/configured-pools.ts';
import { PoolBook } from '../../ipam/pool/pool-book.ts';
import { Pools } from '../../ipam/pool/pools.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';
import { IpamDriver } from '../../plugin/ipam-driver.ts';
import { pluginMethods } from '../../plugin/methods.ts';
import { NetworkDriver } from '../../plugin/network-driver.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import {
  type ClaimRecord,
  type EndpointRecord,
  type NetworkRecord,
  RECORD_KINDS,
  type ReleaseRecord,
} from '../../store/host-records.ts';
import { layoutOf } from '../../store/layout.ts';
import { RecordStore, type RecordStoreOptions } from '../../store/records.ts';
import { TestNamespace } from '../netns/namespace.ts';
import { EtcdProcess } from './etcd-process.ts';
import { PluginSocket } from './plugin-client.ts';

/** The uplink in the namespace; `up1` is the far end. */
export const PARENT = 'up0';

export interface RealStackOptions {
  readonly configuredPools?: readonly ConfiguredPool[];
  readonly defaultPool?: string;
}

export class RealStack {
  readonly etcd: EtcdProcess;
  readonly namespace: TestNamespace;
  readonly #stateDir = mkdtempSync(join(tmpdir(), 'lanius-state-'));
  readonly #options: RealStackOptions;
  readonly #ends: (() => Promise<unknown>)[] = [];
  #parts: Parts | undefined;

  private constructor(etcd: EtcdProcess, options: RealStackOptions) {
    this.etcd = etcd;
    this.#options = options;
    this.namespace = new TestNamespace();
    this.namespace.addUplink(PARENT, 'up1');
  }

  static async start(options: RealStackOptions = {}): Promise<RealStack> {
    const stack = new RealStack(await EtcdProcess.start(), options);
    await stack.startDaemon();
    return stack;
  }

  get socket(): PluginSocket {
    return this.#running.socket;
  }
  get endpoints(): RecordStore<EndpointRecord> {
    return this.#running.endpoints;
  }
  get networks(): RecordStore<NetworkRecord> {
    return this.#running.networks;
  }
  get leases(): Leases {
    return this.#running.leases;
  }
  get claims(): RecordStore<ClaimRecord> {
    return this.#running.claims;
  }

  /** What a daemon does at its start, on the records that are there. */
  async startDaemon(): Promise<void> {
    const instance = randomId(8);
    const bootId = 'boot-1';
    const host = 'host-1';
    const logger = silentLogger;
    const clock = systemClock;
    const kv = new EtcdKv({ hosts: [this.etcd.host] });
    const layout = layoutOf('/lanius/v1/');
    const session = new Session(
      { host, hostname: host, machineId: 'machine-1', bootId, instance, version: '0', ttlSeconds: 10 },
      { kv, layout, clock, logger, onSuperseded: () => {} },
    );
    await session.start();
    const committer = new Committer({}, { kv, session, logger });
    const records = async <T>(kind: Omit<RecordStoreOptions<T>, 'stateDir'>) => {
      const store = new RecordStore<T>({ stateDir: this.#stateDir, ...kind }, { logger });
      await store.load();
      return store;
    };
    const networks = await records<NetworkRecord>(RECORD_KINDS.networks);
    const endpoints = await records<EndpointRecord>(RECORD_KINDS.endpoints);
    const claims = await records<ClaimRecord>(RECORD_KINDS.claims);
    const releases = await records<ReleaseRecord>(RECORD_KINDS.releases);
    const book = new PoolBook({ coolingSeconds: 0 }, { kv, layout, logger });
    await book.load();
    const leases = new Leases(
      { host, instance, bootId },
      { kv, layout, committer, releases, policies: book, clock, random: Math.random, logger },
    );
    await leases.load();
    const pools = new Pools({ host, instance, bootId }, { kv, layout, committer, book, clock });
    const { configuredPools = [], defaultPool } = this.#options;
    const addresses = new Addresses(
      { configuredPools, ...(defaultPool === undefined ? {} : { defaultPool }) },
      { leases, pools, book, claims: new ClaimBook({ pools, claims, clock, logger }), clock },
    );
    const kernel = new KernelWorker({ namespacePath: this.namespace.path }, { log: logger });
    const net = new KernelLinks(kernel);
    const arp = composeArp({
      host,
      macPrefix: DEFAULT_MAC_PREFIX,
      kv,
      layout,
      kernel,
      committer,
      book,
      leases,
      networks,
      endpoints,
      claims,
      clock,
      logger,
    });
    await arp.macs.load();
    const network = new NetworkDriver(
      { driverName: 'lanius', defaultParent: PARENT, macPrefix: DEFAULT_MAC_PREFIX, instance },
      {
        addresses,
        net,
        networks,
        endpoints,
        holders: { joined: () => {}, left: () => {} },
        limits: { joining: () => {}, joined: () => {}, admit: async () => {}, left: () => {} },
        ...composeLinks({
          kernel,
          net,
          networks,
          endpoints,
          adoptions: new RecordStore({ stateDir: this.#stateDir, ...RECORD_KINDS.adoptions }, { logger }),
          bootId,
          engineNetworks: async () => [],
          engineEndpoints: async () => new Set<string>(),
          arp,
          logger,
        }),
        clock,
        logger,
      },
    );
    const socket = await PluginSocket.open(pluginMethods(network, new IpamDriver({ addresses })));
    this.#parts = { socket, networks, endpoints, leases, claims };
    this.#ends.push(
      () => socket.close(),
      () => kernel.close(),
      () => book.close(),
      () => arp.close(),
      () => session.stop(),
      async () => kv.close(),
    );
  }

  /** Ends the daemon's parts; etcd, links and records stay. */
  async stopDaemon(): Promise<void> {
    this.#parts = undefined;
    for (const end of this.#ends.splice(0)) await end();
  }

  async stop(): Promise<void> {
    await this.stopDaemon();
    this.namespace.remove();
    await this.etcd.stop();
    rmSync(this.#stateDir, { recursive: true, force: true });
  }

  /** Names of the links of ours in the namespace. */
  links(): string[] {
    return this.namespace
      .links()
      .filter(({ ifalias }) => ifalias?.startsWith('lanius:') === true)
      .map(({ ifname }) => ifname);
  }

  get #running(): Parts {
    if (this.#parts === undefined) throw new Error('the daemon does not run');
    return this.#parts;
  }
}

interface Parts {
  readonly socket: PluginSocket;
  readonly networks: RecordStore<NetworkRecord>;
  readonly endpoints: RecordStore<EndpointRecord>;
  readonly leases: Leases;
  readonly claims: RecordStore<ClaimRecord>;
}
