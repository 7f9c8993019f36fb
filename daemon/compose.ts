/**
 * The composition root: every part of the daemon is made here, from its settings and the parts it stands on.
 * Nothing is started here and nothing is decided; daemon/main.ts starts and stops.
 */
import { readFileSync } from 'node:fs';
import { systemClock as clock } from '../core/clock.ts';
import type { Conflict } from '../core/errors.ts';
import { parseCidr, parseIp } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import { parseMacPrefix } from '../core/mac.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import { Addresses } from '../ipam/addresses.ts';
import { Committer } from '../ipam/commit/committer.ts';
import { Session } from '../ipam/commit/session.ts';
import type { SessionIdentity } from '../ipam/commit/session-values.ts';
import { TtlBuckets } from '../ipam/commit/ttl-buckets.ts';
import { HostForgetting } from '../ipam/host/host-forgetting.ts';
import { HostSweeper } from '../ipam/host/host-sweeper.ts';
import { Fates } from '../ipam/lease/afterwards.ts';
import { Leases } from '../ipam/lease/leases.ts';
import { EtcdInventory } from '../ipam/people/etcd-inventory.ts';
import { KnownHere } from '../ipam/people/known-here.ts';
import { Reservations } from '../ipam/people/reservations.ts';
import { ClaimBook } from '../ipam/pool/claim-book.ts';
import { PoolAdmin } from '../ipam/pool/pool-admin.ts';
import { PoolBook } from '../ipam/pool/pool-book.ts';
import { Pools } from '../ipam/pool/pools.ts';
import { Holders, someHasAddress } from '../ipam/reconcile/holders.ts';
import { OwnIndex } from '../ipam/reconcile/own-index.ts';
import { Reconciler } from '../ipam/reconcile/reconciler.ts';
import { usersOf } from '../ipam/reconcile/usage.ts';
import { StoreChecker } from '../ipam/upkeep/store-checker.ts';
import { exportStore } from '../ipam/upkeep/store-export.ts';
import { StoreImport } from '../ipam/upkeep/store-import.ts';
import { StoreRepair } from '../ipam/upkeep/store-repair.ts';
import { fullnessOf } from '../ipam/warm/fullness.ts';
import { WarmStock } from '../ipam/warm/warm-stock.ts';
import { KernelWorker } from '../net/kernel-worker.ts';
import { KernelLinks } from '../net/links.ts';
import { IpamDriver } from '../plugin/ipam-driver.ts';
import { pluginMethods } from '../plugin/methods.ts';
import { NetworkDriver } from '../plugin/network-driver.ts';
import { createPluginApp } from '../plugin/server.ts';
import { EmbeddedEtcd } from '../store/embedded-etcd.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import { RECORD_KINDS } from '../store/host-records.ts';
import { type Layout, layoutOf } from '../store/layout.ts';
import { RecordStore } from '../store/records.ts';
import { createAdminApp } from './admin-server.ts';
import { composeLinks } from './compose-links.ts';
import type { Config } from './config-schema.ts';
import { Doctor } from './doctor.ts';
import { networkInfos } from './network-info.ts';

export type Daemon = ReturnType<typeof compose>;

export function compose(
  config: Config,
  identity: SessionIdentity,
  logger: Logger,
  onSuperseded: (reason: Conflict) => void,
) {
  const { host, instance } = identity;
  const stateDir = config.state.dir;
  const records = {
    networks: new RecordStore({ stateDir, ...RECORD_KINDS.networks }, { logger }),
    endpoints: new RecordStore({ stateDir, ...RECORD_KINDS.endpoints }, { logger }),
    claims: new RecordStore({ stateDir, ...RECORD_KINDS.claims }, { logger }),
    releases: new RecordStore({ stateDir, ...RECORD_KINDS.releases }, { logger }),
  };
  const { networks, endpoints, claims, releases } = records;

  const embedded =
    config.etcd.hosts.length > 0
      ? undefined
      : new EmbeddedEtcd({ stateDir, ...config.etcd.embedded }, { logger, clock });
  const kv = new EtcdKv(etcdOptions(config), { logger, clock });
  const kernel = new KernelWorker({}, { log: logger });
  const net = new KernelLinks(kernel);
  const engine = new DockerEngine(
    { socketPath: config.docker.socket, driverName: config.docker.driverName },
    { logger },
  );

  const layout = layoutOf(config.etcd.prefix);
  const session = new Session(
    { ...identity, labels: config.host.labels, ttlSeconds: config.session.ttlSeconds },
    {
      kv,
      layout,
      clock,
      logger,
      onSuperseded,
      onStoreChanged: (reason) => {
        warmStock?.forget();
        reconciler.storeChanged(reason);
      },
    },
  );
  const committer = new Committer({}, { kv, session, logger });
  const book = new PoolBook({ coolingSeconds: config.ipam.coolingSeconds }, { kv, layout, logger });
  const leases = new Leases(identity, {
    kv,
    layout,
    committer,
    releases,
    policies: book,
    hasEndpoint: (subnet, address) => someHasAddress(endpoints.list(), subnet, address),
    clock,
    random: Math.random,
    logger,
  });
  const pools = new Pools(identity, { kv, layout, committer, book, clock });
  const claimBook = new ClaimBook({ pools, claims, clock, logger });
  const warmStock = warmStockOf(config, { leases, session, kv, layout, logger });
  const warm = warmStock === undefined ? {} : { warmStock };
  const addresses = new Addresses(addressesOptions(config), {
    leases,
    pools,
    book,
    claims: claimBook,
    clock,
    ...warm,
  });
  const holders = new Holders({ engine, addresses, logger });
  const ownIndex = new OwnIndex({ host }, { kv, layout, logger });
  const reconciler: Reconciler = new Reconciler(
    {
      instance,
      lookGapMs: config.reconcile.lookGapSeconds * 1000,
      graceMs: config.reconcile.pendingGraceSeconds * 1000,
      intervalMs: config.reconcile.intervalSeconds * 1000,
    },
    {
      ownIndex,
      committer,
      leases,
      claimBook,
      networks,
      endpoints,
      claims,
      engine,
      net,
      clock,
      logger,
      ...warm,
    },
  );

  const networkDriver = new NetworkDriver(
    {
      driverName: config.docker.driverName,
      macPrefix: parseMacPrefix(config.net.macPrefix),
      instance,
      ...(config.net.parent === undefined ? {} : { defaultParent: config.net.parent }),
    },
    {
      addresses,
      net,
      networks,
      endpoints,
      holders,
      ...composeLinks({ kernel, net, networks, endpoints, logger }),
      clock,
      logger,
    },
  );
  const ipamDriver = new IpamDriver({ addresses });
  const { handlerTimeoutMs, linkTimeoutMs } = config.limits;
  const plugin = createPluginApp(pluginMethods(networkDriver, ipamDriver), {
    logger,
    clock,
    handlerTimeoutMs,
    linkTimeoutMs,
  });

  const networkList = () => networkInfos(networks.list(), endpoints.list());
  const doctor = new Doctor(
    {
      pluginSocket: config.docker.pluginSocket,
      stateDir,
      storeKey: layout.poolset,
      reconcileIntervalSeconds: config.reconcile.intervalSeconds,
    },
    { net, engine, store: kv, session, reconciler, networks: networkList, clock },
  );
  const inventory = new EtcdInventory({
    kv,
    layout,
    leases,
    clock,
    logger,
    host,
    usersOf: (...where) => usersOf(engine, ...where),
  });
  const reservations = new Reservations(identity, { kv, layout, committer, clock });
  const fates = new Fates({ policies: book, ttls: new TtlBuckets({ kv, clock }), clock, logger });
  const forgetting = new HostForgetting({ kv, layout, committer, pools, fates });
  const sweeper = new HostSweeper(
    { host, instance, graceSeconds: config.reconcile.deadHostGraceSeconds },
    { kv, layout, committer, forgetting, clock, logger },
  );
  const { configuredPools } = addressesOptions(config);
  const poolAdmin = new PoolAdmin({ host, configuredPools }, { kv, layout, committer, book, clock });
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
    reconciler,
    poolAdmin,
    networks: networkList,
    doctor: () => doctor.examine(),
    logger,
  });
  return {
    records,
    embedded,
    kv,
    kernel,
    net,
    engine,
    session,
    committer,
    book,
    leases,
    warmStock,
    holders,
    reconciler,
    sweeper,
    plugin,
    admin,
  };
}

function etcdOptions({ etcd }: Config): ConstructorParameters<typeof EtcdKv>[0] {
  const { username, passwordFile } = etcd.auth;
  const hosts = etcd.hosts.length > 0 ? etcd.hosts : [`127.0.0.1:${etcd.embedded.clientPort}`];
  const auth =
    username === undefined || passwordFile === undefined
      ? {}
      : { auth: { username, password: readFileSync(passwordFile, 'utf8').replace(/\n$/, '') } };
  const tls = Object.keys(etcd.tls).length === 0 ? {} : { tls: etcd.tls };
  return { hosts, timeoutMs: etcd.timeoutMs, ...tls, ...auth };
}

/** None by default. With a grace period for dead hosts it is given out only as long as this one cannot count as dead. */
function warmStockOf(
  { ipam, reconcile }: Config,
  deps: {
    readonly leases: Leases;
    readonly session: Session;
    readonly kv: EtcdKv;
    readonly layout: Layout;
    readonly logger: Logger;
  },
): WarmStock | undefined {
  if (ipam.warmStock === 0) return undefined;
  const { leases, session, logger } = deps;
  const graceMs = reconcile.deadHostGraceSeconds * 1000;
  const mayGiveOut = (): boolean =>
    graceMs === 0 || clock.now() - (session.provenAtMs ?? Number.NEGATIVE_INFINITY) < graceMs;
  return new WarmStock(
    { size: ipam.warmStock, idleMs: ipam.warmIdleSeconds * 1000 },
    { leases, fullness: fullnessOf(deps, Math.random), mayGiveOut, clock, logger },
  );
}

function addressesOptions({ host, ipam }: Config): ConstructorParameters<typeof Addresses>[0] {
  const { labels } = host;
  const configuredPools = ipam.pools.map(({ name, subnet, range, gateway }) => ({
    name,
    subnet: parseCidr(subnet),
    ...(range === undefined ? {} : { range: parseCidr(range) }),
    ...(gateway === undefined ? {} : { gateway: parseIp(gateway) }),
  }));
  const only = configuredPools.length === 1 ? configuredPools[0]?.name : undefined;
  const defaultPool = ipam.defaultPool ?? only;
  return { configuredPools, labels, ...(defaultPool === undefined ? {} : { defaultPool }) };
}
