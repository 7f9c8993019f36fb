/** The part of the composition that people see: doctor, inventory, pools, hosts and the store on the admin socket. */
import { systemClock as clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { EnginePort } from '../engine/port.ts';
import type { Committer } from '../ipam/commit/committer.ts';
import type { Session } from '../ipam/commit/session.ts';
import type { SessionIdentity } from '../ipam/commit/session-values.ts';
import { TtlBuckets } from '../ipam/commit/ttl-buckets.ts';
import { HostForgetting } from '../ipam/host/host-forgetting.ts';
import { HostSweeper } from '../ipam/host/host-sweeper.ts';
import { Fates } from '../ipam/lease/afterwards.ts';
import type { Leases } from '../ipam/lease/leases.ts';
import { ShrikeImport } from '../ipam/migrate/shrike-import.ts';
import { EtcdInventory } from '../ipam/people/etcd-inventory.ts';
import { HostFigures } from '../ipam/people/host-figures.ts';
import { KnownHere } from '../ipam/people/known-here.ts';
import { Reservations } from '../ipam/people/reservations.ts';
import { PoolAdmin } from '../ipam/pool/pool-admin.ts';
import type { PoolBook } from '../ipam/pool/pool-book.ts';
import type { Pools } from '../ipam/pool/pools.ts';
import type { Reconciler } from '../ipam/reconcile/reconciler.ts';
import { usersOf } from '../ipam/reconcile/usage.ts';
import { StoreChecker } from '../ipam/upkeep/store-checker.ts';
import { exportStore } from '../ipam/upkeep/store-export.ts';
import { StoreImport } from '../ipam/upkeep/store-import.ts';
import { StoreRepair } from '../ipam/upkeep/store-repair.ts';
import { leaksOf } from '../links/belongings.ts';
import type { KernelNeighbourLimits } from '../net/neighbour-limits.ts';
import type { NetPort } from '../net/port.ts';
import type { EtcdKv } from '../store/etcd-kv.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { Layout } from '../store/layout.ts';
import type { RecordStore } from '../store/records.ts';
import { bandwidthOf } from './admin-figures.ts';
import { createAdminApp } from './admin-server.ts';
import { type ArpComposition, choicesOf } from './compose-arp.ts';
import { composeLimitPeople } from './compose-limits.ts';
import type { composeLinks } from './compose-links.ts';
import { addressesOptions } from './compose-options.ts';
import type { ThrottleComposition } from './compose-throttle.ts';
import { Doctor } from './doctor.ts';
import { checkBridges } from './doctor-bridges.ts';
import { checkNeighbourLimits } from './doctor-neighbours.ts';
import { checkSandboxes, sandboxFindings } from './doctor-sandboxes.ts';
import type { LiveConfig } from './live-config.ts';
import { networkInfos } from './network-info.ts';

export interface PeopleParts {
  readonly kv: EtcdKv;
  readonly layout: Layout;
  readonly net: NetPort;
  readonly engine: EnginePort;
  readonly session: Session;
  readonly committer: Committer;
  readonly book: PoolBook;
  readonly pools: Pools;
  readonly leases: Leases;
  readonly reconciler: Reconciler;
  readonly networks: RecordStore<NetworkRecord>;
  readonly endpoints: RecordStore<EndpointRecord>;
  readonly claims: RecordStore<ClaimRecord>;
  readonly links: ReturnType<typeof composeLinks>;
  readonly arp: ArpComposition;
  readonly throttle: ThrottleComposition;
  readonly neighbourLimits: KernelNeighbourLimits;
  readonly logger: Logger;
}

export function composePeople(live: LiveConfig, identity: SessionIdentity, parts: PeopleParts) {
  const { config } = live;
  const { kv, layout, net, engine, session, committer, book, pools, leases, reconciler } = parts;
  const { networks, endpoints, links, arp, throttle, neighbourLimits, logger } = parts;
  const { host, instance } = identity;
  const stateDir = config.state.dir;
  const networkList = () => networkInfos(networks.list(), endpoints.list());
  const inventory = new EtcdInventory({
    kv,
    layout,
    leases,
    clock,
    logger,
    host,
    usersOf: (...where) => usersOf(engine, ...where),
  });
  const limits = composeLimitPeople(throttle, { host, kv, layout, committer, inventory, leases });
  const doctor = new Doctor(
    {
      pluginSocket: config.docker.pluginSocket,
      stateDir,
      storeKey: layout.poolset,
      get reconcileIntervalSeconds() {
        return live.config.reconcile.intervalSeconds;
      },
    },
    {
      net,
      engine,
      store: kv,
      session,
      reconciler,
      networks: networkList,
      links: { ...links, net, networks, endpoints },
      clock,
      more: {
        arp: arp.doctor,
        limits: limits.doctor,
        bridges: async () => checkBridges(links.bridgeUplink.filtered),
        sandboxes: async () => checkSandboxes(sandboxFindings(links)),
        'neighbour table': async () => checkNeighbourLimits(await arp.hows(networkList()), neighbourLimits),
      },
    },
  );
  const reservations = new Reservations(identity, { kv, layout, committer, clock });
  const fates = new Fates({ policies: book, ttls: new TtlBuckets({ kv, clock }), clock, logger });
  const forgetting = new HostForgetting({ kv, layout, committer, pools, fates });
  const sweeper = new HostSweeper(
    { host, instance, graceSeconds: config.reconcile.deadHostGraceSeconds },
    { kv, layout, committer, forgetting, clock, logger },
  );
  const { configuredPools } = addressesOptions(config);
  const poolAdmin = new PoolAdmin({ host, configuredPools }, { kv, layout, committer, book, clock });
  const figures = new HostFigures(
    { labels: config.host.labels },
    { kv, layout, claims: parts.claims, pools: book, leases, clock },
  );
  const checker = new StoreChecker({ kv, layout, clock });
  const admin = createAdminApp({
    version: { version: identity.version, node: process.version, host },
    inventory,
    known: new KnownHere({ leases, pools: book }),
    reservations,
    forgetting,
    store: {
      checker,
      repair: new StoreRepair({ kv, checker, committer, clock, logger }),
      exported: () => exportStore({ kv, layout, clock, version: identity.version }),
      importing: () => new StoreImport({ kv, layout, committer, clock }),
      spoolDir: stateDir,
    },
    figures: {
      addresses: () => figures.addresses(),
      bandwidthFigures: () => bandwidthOf(throttle.figures(), throttle.declared, throttle.overcommit),
    },
    limits: limits.routes,
    shrike: new ShrikeImport({ kv, layout, poolAdmin, reservations, clock }),
    reconciler,
    poolAdmin,
    networks: async () =>
      networkInfos(networks.list(), endpoints.list(), await choicesOf(arp, networks.list())),
    doctor: () => doctor.examine(),
    leaks: async () => {
      const belongings = await links.survey.examine();
      return { ok: leaksOf(belongings).length === 0, belongings };
    },
    logger,
  });
  return { admin, sweeper };
}
