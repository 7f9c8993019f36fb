/**
 * Takes Lanius away from this host: looks at what is there, and removes it in an order that leaves nothing behind if it is
 * broken off, so that it can be said again: daemon, kernel, etcd, disk. It does the daemon's work in its own process, for the
 * daemon must be gone: its session keeps everybody, itself too, from forgetting the host.
 *
 * Must not: cut off a running container. With `force` its link and what it stands on stay, only its address is given up.
 */
import { existsSync } from 'node:fs';
import { systemClock as clock } from '../core/clock.ts';
import { deadlineAfter } from '../core/deadline.ts';
import { Conflict, DriverError, toDriverError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { TtlBuckets } from '../ipam/commit/ttl-buckets.ts';
import { UnfencedSteps } from '../ipam/commit/unfenced-steps.ts';
import { HostForgetting } from '../ipam/host/host-forgetting.ts';
import { Fates } from '../ipam/lease/afterwards.ts';
import { Pools } from '../ipam/pool/pools.ts';
import { type Belonging, leaksOf } from '../links/belongings.ts';
import { KernelResponder } from '../net/responder.ts';
import { findEtcd, isEtcdOn } from '../store/embedded-etcd-process.ts';
import { claimRecordSchema, endpointRecordSchema, networkRecordSchema } from '../store/host-records.ts';
import { layoutOf } from '../store/layout.ts';
import { acquireStateLock } from '../store/state-lock.ts';
import { compose, type Daemon } from './compose.ts';
import { composeLinks, type LinkParts } from './compose-links.ts';
import type { Config } from './config-schema.ts';
import { identityOf } from './identity.ts';
import { LiveConfig } from './live-config.ts';
import { filesOf, isDeadSocket, type PurgeFiles, recordsIn, removeFiles } from './purge-files.ts';
import { recordedNetworks, shownNetworks } from './purge-networks.ts';
import type { PurgePlan, PurgeView, SeenNetwork, SeenStore } from './purge-plan.ts';
import type { ServicePort } from './purge-service.ts';

export interface PurgeOptions {
  readonly config: Config;
  readonly configFile: string;
}

export interface PurgeDependencies {
  readonly service: ServicePort;
  readonly logger: Logger;
  /** How far it is, for people. */
  readonly tell: (text: string) => void;
}

const ENGINE_LIMIT_MS = 5000;
/** RuntimeDirectory= of lanius-mesos.service, which keeps it. */
const MESOS_DIR = '/run/lanius-mesos';
/** One part of forgetting. */
const PART_MS = 5000;
/** Kinds that are links of the host's own name space, made for endpoints. */
const ENDPOINT_LINKS = ['endpoint link', 'host end', 'ifb', 'link'];

export class Purge {
  readonly #config: Config;
  readonly #files: PurgeFiles;
  readonly #deps: PurgeDependencies;
  readonly #daemon: Daemon;
  readonly #forgetting: HostForgetting;
  #engineEndpoints: ReadonlySet<string> = new Set();

  constructor({ config, configFile }: PurgeOptions, deps: PurgeDependencies) {
    this.#config = config;
    this.#deps = deps;
    const { dir: stateDir } = config.state;
    this.#files = { stateDir, configFile, adminSocket: config.admin.socket, mesosDir: MESOS_DIR };
    const identity = identityOf(config.host.name);
    // Made, never started: its parts know how to look and to remove.
    this.#daemon = compose(new LiveConfig(config), identity, deps.logger, () => {});
    const { kv, book } = this.#daemon;
    const layout = layoutOf(config.etcd.prefix);
    const committer = new UnfencedSteps({ kv });
    this.#forgetting = new HostForgetting({
      kv,
      layout,
      committer,
      pools: new Pools(identity, { kv, layout, committer, book, clock }),
      fates: new Fates({ policies: book, ttls: new TtlBuckets({ kv, clock }), clock, logger: deps.logger }),
    });
  }

  /** Changes nothing. @throws DriverError */
  async look(): Promise<PurgeView> {
    const { service } = this.#deps;
    return {
      host: this.#config.host.name,
      units: await service.standing(),
      ...(await this.#networks()),
      store: await this.#store(),
      belongings: await this.#belongings(),
      files: filesOf(await this.#filesNow()),
    };
  }

  /**
   * Does what was looked at. Idempotent: what was broken off is said again.
   * @returns what is left, in words
   * @throws Conflict if a daemon runs that systemd does not know of; DriverError
   */
  async run(plan: PurgePlan, store: SeenStore): Promise<string[]> {
    const { service, tell } = this.#deps;
    tell('stopping the daemon');
    await service.stop();
    const lock = await acquireStateLock(this.#config.state.dir);
    try {
      tell('removing links');
      const links = await this.#clearKernel(plan.kept);
      if (store.kind === 'embedded') await this.#endEmbedded();
      if (store.kind === 'cluster') await this.#forget();
      tell('removing files');
      const files = removeFiles(await this.#filesNow(), plan.spared).map((file) =>
        plan.spared.includes(file)
          ? `${file} stays: it tells of containers that may run; say it again when the engine answers`
          : `${file} stays: Lanius has not made it`,
      );
      return [...links, ...files];
    } finally {
      await lock.release();
    }
  }

  async close(): Promise<void> {
    const { kernel, kv, book } = this.#daemon;
    await book.close();
    kv.close();
    await kernel.close();
  }

  /** With the plugin's socket, where a daemon that was killed has left it: the engine would dial it. */
  async #filesNow(): Promise<PurgeFiles> {
    const { pluginSocket } = this.#config.docker;
    return { ...this.#files, ...((await isDeadSocket(pluginSocket)) ? { deadSocket: pluginSocket } : {}) };
  }

  /** By the engine; without one, by what is noted on disk. */
  async #networks(): Promise<Pick<PurgeView, 'networks' | 'engineAnswers'>> {
    try {
      const shown = await this.#daemon.engine.networks(ENGINE_LIMIT_MS);
      const endpoints = shown.flatMap((network) => network.endpoints);
      this.#engineEndpoints = new Set(endpoints.map(({ endpointId }) => endpointId));
      return { networks: shownNetworks(shown, this.#config.docker.driverName), engineAnswers: true };
    } catch (error) {
      this.#deps.tell(
        `${toDriverError(error).message}; networks, and the containers that may run, are taken from the records`,
      );
      return { networks: recordedNetworks(this.#onDisk(), existsSync), engineAnswers: false };
    }
  }

  async #store(): Promise<SeenStore> {
    const { hosts } = this.#config.etcd;
    if (hosts.length === 0) return { kind: 'embedded' };
    try {
      const belongings = await this.#forgetting.belongings(this.#config.host.name);
      return { kind: 'cluster', hosts, belongings };
    } catch (error) {
      return { kind: 'unreachable', reason: toDriverError(error).message };
    }
  }

  async #belongings(): Promise<Belonging[]> {
    const { networks, endpoints } = this.#onDisk();
    const records = { networks: listed(networks), endpoints: listed(endpoints) };
    return await this.#links(records).survey.examine();
  }

  /** The records as they lie there. Their own store would mend what it finds, and the daemon may be running. */
  #onDisk() {
    const { stateDir } = this.#files;
    return {
      networks: recordsIn(`${stateDir}/networks`, networkRecordSchema),
      endpoints: recordsIn(`${stateDir}/endpoints`, endpointRecordSchema),
      claims: recordsIn(`${stateDir}/claims`, claimRecordSchema),
    };
  }

  /** As if the engine had what it showed when it was looked at. Its networks are no reason to keep what they stand on. */
  #links(records: Pick<LinkParts, 'networks' | 'endpoints'>): ReturnType<typeof composeLinks> {
    const { kernel, net, arp } = this.#daemon;
    return composeLinks({
      kernel,
      net,
      networks: records.networks,
      endpoints: records.endpoints,
      adoptions: this.#daemon.records.adoptions,
      bootId: identityOf(this.#config.host.name).bootId,
      engineNetworks: async () => [],
      engineEndpoints: async () => this.#engineEndpoints,
      arp,
      logger: this.#deps.logger,
    });
  }

  /** @returns what stays, and why */
  async #clearKernel(kept: readonly SeenNetwork[]): Promise<string[]> {
    const { records, net, kernel, throttle } = this.#daemon;
    const ids = new Set(
      kept.filter(({ addressesOnly }) => addressesOnly !== true).map(({ networkId }) => networkId),
    );
    for (const kind of Object.values(records)) await kind.load();
    for (const { networkId } of records.networks.list())
      if (!ids.has(networkId)) await records.networks.delete(networkId);
    for (const { endpointId, networkId } of records.endpoints.list())
      if (!ids.has(networkId)) await records.endpoints.delete(endpointId);
    const links = this.#links(records);
    // Before the ifb of a parent would be deleted: what is redirected to none is lost.
    if (ids.size === 0) await throttle.uplinkPart.settle();
    for (const { kind, object } of leaksOf(await links.survey.examine()))
      if (ENDPOINT_LINKS.includes(kind)) await net.linkDelete(object);
    await links.uplinks.settle();
    if (ids.size === 0) await new KernelResponder(kernel).settle([]);
    const left = await links.survey.examine();
    return left.map(
      ({ kind, object, owner = 'nobody' }) => `${kind} ${object} stays: it belongs to ${owner}`,
    );
  }

  /** The daemon ends it; if it was killed before, nobody has. */
  async #endEmbedded(): Promise<void> {
    const dataDir = `${this.#files.stateDir}/etcd`;
    const pid = findEtcd(dataDir, `${this.#files.stateDir}/etcd.pid`);
    if (pid === undefined) return;
    process.kill(pid, 'SIGTERM');
    while (isEtcdOn(pid, dataDir)) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  /** A daemon that was killed leaves its session for as long as its TTL. */
  async #forget(): Promise<void> {
    const { name } = this.#config.host;
    const { tell } = this.#deps;
    await this.#daemon.book.load();
    const waitUntil = clock.now() + (this.#config.session.ttlSeconds + 5) * 1000;
    for (let freed = 0; ; ) {
      try {
        const part = await this.#forgetting.forget(name, deadlineAfter(PART_MS, clock));
        freed += part.leases;
        tell(`${freed} addresses of host ${name} freed`);
        if (part.done) return;
      } catch (error) {
        if (!(error instanceof DriverError)) throw error;
        if (!(error instanceof Conflict) || clock.now() > waitUntil) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }
}

function listed<T extends { readonly networkId: string; readonly endpointId?: string }>(
  records: readonly T[],
) {
  return {
    list: () => records,
    get: (id: string) => records.find((record) => (record.endpointId ?? record.networkId) === id),
  };
}
