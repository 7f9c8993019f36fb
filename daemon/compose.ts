/**
 * The composition root: every part of the daemon is made here, from its settings and the parts it stands on.
 * Nothing is started here and nothing is decided; daemon/main.ts starts and stops.
 */
import { systemClock as clock } from '../core/clock.ts';
import type { Conflict } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { parseMacPrefix } from '../core/mac.ts';
import { DockerContainerFinder } from '../engine/docker-container-finder.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import { Addresses } from '../ipam/addresses.ts';
import { Committer } from '../ipam/commit/committer.ts';
import { Session } from '../ipam/commit/session.ts';
import type { SessionIdentity } from '../ipam/commit/session-values.ts';
import { Leases } from '../ipam/lease/leases.ts';
import { ClaimBook } from '../ipam/pool/claim-book.ts';
import { PoolBook } from '../ipam/pool/pool-book.ts';
import { Pools } from '../ipam/pool/pools.ts';
import { Holders, someHasAddress } from '../ipam/reconcile/holders.ts';
import { OwnIndex } from '../ipam/reconcile/own-index.ts';
import { Reconciler } from '../ipam/reconcile/reconciler.ts';
import { KernelWorker } from '../net/kernel-worker.ts';
import { KernelLinks } from '../net/links.ts';
import { KernelNeighbourLimits } from '../net/neighbour-limits.ts';
import { IpamDriver } from '../plugin/ipam-driver.ts';
import { pluginMethods } from '../plugin/methods.ts';
import { NetworkDriver } from '../plugin/network-driver.ts';
import { createPluginApp } from '../plugin/server.ts';
import { EmbeddedEtcd } from '../store/embedded-etcd.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import { RECORD_KINDS } from '../store/host-records.ts';
import { layoutOf } from '../store/layout.ts';
import { RecordStore } from '../store/records.ts';
import { composeArp } from './compose-arp.ts';
import { composeLinks } from './compose-links.ts';
import { addressesOptions, etcdOptions, warmStockOf } from './compose-options.ts';
import { composePeople } from './compose-people.ts';
import { composeThrottle } from './compose-throttle.ts';
import type { LiveConfig } from './live-config.ts';

const ENGINE_TIMEOUT_MS = 5000;

export type Daemon = ReturnType<typeof compose>;

export function compose(
  live: LiveConfig,
  identity: SessionIdentity,
  logger: Logger,
  onSuperseded: (reason: Conflict) => void,
) {
  // What the daemon started with; what may change while it runs is read from `live` each time.
  const { config } = live;
  const { host, instance } = identity;
  const stateDir = config.state.dir;
  const records = {
    networks: new RecordStore({ stateDir, ...RECORD_KINDS.networks }, { logger }),
    endpoints: new RecordStore({ stateDir, ...RECORD_KINDS.endpoints }, { logger }),
    claims: new RecordStore({ stateDir, ...RECORD_KINDS.claims }, { logger }),
    releases: new RecordStore({ stateDir, ...RECORD_KINDS.releases }, { logger }),
    adoptions: new RecordStore({ stateDir, ...RECORD_KINDS.adoptions }, { logger }),
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

  const finder = new DockerContainerFinder({ engine, clock, logger });

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
  const book = new PoolBook(live.poolOptions(), { kv, layout, logger });
  const leases = new Leases(identity, {
    kv,
    layout,
    committer,
    releases,
    policies: book,
    hasEndpoint: (subnet, address) => someHasAddress(endpoints.list(), subnet, address),
    limitsOf: (endpointId) => throttle.leaseLimitsOf(endpointId),
    clock,
    random: Math.random,
    logger,
  });
  const arp = composeArp({
    host,
    macPrefix: parseMacPrefix(config.net.macPrefix),
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
  const pools = new Pools(identity, { kv, layout, committer, book, clock });
  const claimBook = new ClaimBook({ pools, claims, clock, logger });
  const warmStock = warmStockOf(config, { leases, session, kv, layout, logger });
  const warm = warmStock === undefined ? {} : { warmStock };
  const addresses = new Addresses(addressesOptions(config), {
    leases,
    pools,
    book,
    claims: claimBook,
    strangers: arp.strangers,
    clock,
    ...warm,
  });
  const holders = new Holders({ engine, addresses, logger });
  const ownIndex = new OwnIndex({ host }, { kv, layout, logger });
  const reconciler: Reconciler = new Reconciler(live.reconcilerOptions(instance), {
    ownIndex,
    committer,
    leases,
    claimBook,
    networks,
    endpoints,
    claims,
    engine,
    net,
    ownMacs: arp.ownMacs,
    endpointsGone: () => {
      links.hostAccess.detached();
      throttle.limits.sweep();
    },
    networkGone: (networkId) => void links.uplinks.left(networkId),
    clock,
    logger,
    ...warm,
  });

  const throttle = composeThrottle({
    config: config.throttle,
    host,
    reportIntervalMs: config.reconcile.intervalSeconds * 1000,
    kv,
    layout,
    kernel,
    finder,
    networks,
    endpoints,
    book,
    committer,
    addresses,
    holders,
    changed: (endpointId) => links.sandboxes.changedWish(endpointId),
    clock,
    logger,
  });
  const links = composeLinks({
    kernel,
    net,
    networks,
    endpoints,
    adoptions: records.adoptions,
    bootId: identity.bootId,
    engineNetworks: async () =>
      (await engine.networks(ENGINE_TIMEOUT_MS))
        .filter(({ driver }) => driver === config.docker.driverName)
        .map(({ networkId }) => networkId),
    engineEndpoints: async () => {
      const shown = await engine.networks(ENGINE_TIMEOUT_MS);
      return new Set(shown.flatMap((network) => network.endpoints).map(({ endpointId }) => endpointId));
    },
    arp,
    throttle,
    logger,
  });
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
      ...links,
      limits: throttle.limits,
      clock,
      logger,
    },
  );
  const ipamDriver = new IpamDriver({ addresses });
  const plugin = createPluginApp(
    pluginMethods(networkDriver, ipamDriver),
    live.pluginOptions({ logger, clock }),
  );

  const neighbourLimits = new KernelNeighbourLimits(kernel);
  const { admin, sweeper } = composePeople(live, identity, {
    kv,
    layout,
    net,
    engine,
    session,
    committer,
    book,
    pools,
    leases,
    reconciler,
    networks,
    endpoints,
    claims,
    links,
    arp,
    throttle,
    neighbourLimits,
    logger,
  });
  return {
    records,
    embedded,
    kv,
    kernel,
    net,
    engine,
    finder,
    session,
    committer,
    book,
    leases,
    warmStock,
    holders,
    neighbourLimits,
    reconciler,
    sweeper,
    links,
    arp,
    throttle,
    plugin,
    admin,
  };
}
