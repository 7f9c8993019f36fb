/**
 * What reconciliation looks at beside etcd, played: an engine that shows what the test says, and links in memory. With
 * a reconciler of an IpamHost over both, and what it logs.
 */
import { systemClock as clock } from '../../core/clock.ts';
import { linkAliasOf } from '../../core/ids.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import type { EnginePort } from '../../engine/port.ts';
import { OwnIndex } from '../../ipam/reconcile/own-index.ts';
import { Reconciler, type ReconcilerOptions } from '../../ipam/reconcile/reconciler.ts';
import type { LinkInfo, NetPort } from '../../net/port.ts';
import { type EndpointRecord, type NetworkRecord, RECORD_KINDS } from '../../store/host-records.ts';
import { RecordStore } from '../../store/records.ts';
import { type IpamHost, layout } from './ipam-host.ts';

const NETWORK = 'n'.repeat(64);
const logger = silentLogger;

interface Shown {
  readonly endpointId: string;
  readonly ipv4: string;
  readonly containerId?: string;
}

export class PlayedWorld {
  /** Endpoints that the engine shows, all of one network. */
  readonly shown: Shown[] = [];
  readonly links = new Map<string, LinkInfo>();
  /** Links that the kernel refuses to delete. */
  readonly refused = new Set<string>();
  /** Networks that the reconciler said are gone. */
  readonly gone: string[] = [];
  readonly logged: { readonly level: string; readonly message: string; readonly address?: unknown }[] = [];
  readonly #subnets: readonly string[];
  readonly #reconcilers: Reconciler[] = [];
  readonly #logger: Logger;

  constructor(...subnets: readonly string[]) {
    this.#subnets = subnets;
    const note =
      (level: string): Logger['info'] =>
      (message, fields) =>
        this.logged.push({ level, message, address: fields?.address });
    this.#logger = {
      error: note('error'),
      warn: note('warn'),
      info: note('info'),
      debug: () => {},
      child: () => this.#logger,
    };
  }

  /** A reconciler of the host, which counts as started long ago, and its records. */
  async reconcilerOf(host: IpamHost, options: Partial<ReconcilerOptions> & { startedAgoMs?: number } = {}) {
    const { stateDir, kv, committer, leases, claimBook, claims, warmStock } = host;
    const endpoints = new RecordStore<EndpointRecord>({ stateDir, ...RECORD_KINDS.endpoints }, { logger });
    const networks = new RecordStore<NetworkRecord>({ stateDir, ...RECORD_KINDS.networks }, { logger });
    await endpoints.load();
    await networks.load();
    const { startedAgoMs = 600_000, ...given } = options;
    let started = false;
    const reconciler = new Reconciler(
      { instance: host.instance, lookGapMs: 10, graceMs: 60_000, intervalMs: 600_000, ...given },
      {
        ownIndex: new OwnIndex({ host: host.session.host }, { kv, layout, logger }),
        committer,
        leases,
        ...(warmStock === undefined ? {} : { warmStock }),
        claimBook,
        networks,
        endpoints,
        claims,
        engine: this.#engine(),
        net: this.#net(),
        networkGone: (networkId) => this.gone.push(networkId),
        clock: {
          now: () => clock.now(),
          wall: () => {
            const now = clock.wall();
            if (started) return now;
            started = true;
            return now - startedAgoMs;
          },
        },
        logger: this.#logger,
      },
    );
    this.#reconcilers.push(reconciler);
    return { reconciler, endpoints, networks };
  }

  async close(): Promise<void> {
    await Promise.all(this.#reconcilers.splice(0).map((one) => one.close()));
  }

  addLink(endpointId: string, alias = linkAliasOf(endpointId)): void {
    const name = `ln${endpointId}`;
    const linkIndex = this.links.size + 2;
    this.links.set(name, { name, linkIndex, alias, mtuBytes: 1500, up: false, carrier: false });
  }

  #engine(): EnginePort {
    const notPlayed = () => Promise.reject(new Error('not played'));
    return {
      version: notPlayed,
      networks: async () => [
        {
          networkId: NETWORK,
          name: 'n',
          driver: 'lanius',
          ipamDriver: 'lanius',
          subnets: this.#subnets,
          internal: false,
          endpoints: this.shown.map((one) => ({ networkId: NETWORK, containerName: 'web', ...one })),
        },
      ],
      network: notPlayed,
      containers: async () => [],
      containerIds: notPlayed,
      dataRoot: notPlayed,
      follow: () => ({ close: () => {} }),
    };
  }

  #net(): NetPort {
    const notPlayed = () => Promise.reject(new Error('not played'));
    return {
      macvlanAdd: notPlayed,
      linkDelete: async (name) => {
        if (this.refused.has(name)) throw new Error('the kernel refuses');
        return this.links.delete(name);
      },
      linkGet: async (name) => this.links.get(name),
      linkList: async () => [...this.links.values()],
      linkListIn: async () => undefined,
      probe: notPlayed,
    };
  }
}

/** The record of an endpoint of an earlier daemon. */
export function recordOf(endpointId: string, address: string): EndpointRecord {
  return {
    v: 1,
    endpointId,
    networkId: NETWORK,
    address,
    macAddress: '02:4c:0a:28:00:07',
    linkName: `ln${endpointId}`,
    options: {},
    createdAt: clock.wall(),
    instance: 'before',
  };
}
