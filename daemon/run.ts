/**
 * One life of the daemon: start in order, serve, stop in order.
 *
 * The sockets answer first, and READY is told to systemd, before etcd or the engine have answered: the engine
 * must never find the plugin missing, and calls wait for etcd within their own limits. What cannot pass by
 * itself (settings, another daemon, no etcd installed) ends the daemon.
 */
import { createServer } from 'node:http';
import { toDriverError } from '../core/errors.ts';
import { untilDone } from '../ipam/commit/patiently.ts';
import { configureServer } from '../plugin/server.ts';
import { acquireStateLock } from '../store/state-lock.ts';
import { compose, type Daemon } from './compose.ts';
import type { Config } from './config-schema.ts';
import { tuneNeighbourTable } from './doctor-neighbours.ts';
import { identityOf } from './identity.ts';
import type { Journal } from './journal.ts';
import { listenOn } from './listen.ts';
import { LiveConfig } from './live-config.ts';
import { JsonLogger } from './logger.ts';
import { Reloading } from './reload.ts';
import type { SdNotify } from './sd-notify.ts';
import type { ActivatedSockets } from './socket-activation.ts';

/** What the daemon was given by whoever started it. */
export interface Start {
  readonly systemd: SdNotify;
  readonly sockets: ActivatedSockets;
  readonly priorities: boolean;
  readonly journal?: Journal;
  /** Reads the configuration anew. @throws InvalidConfig */
  readonly load: () => Config;
  /** The plugin's socket is in use, or was. */
  serving: boolean;
}

/** What the networks stand on takes longer than this to make: the rest is made while the daemon serves. */
const UPLINKS_LIMIT_MS = 5000;

/** Ends something. */
type End = () => Promise<unknown>;

/** Runs until SIGTERM or SIGINT. @throws what ends the daemon before its time; then nothing is left open */
export async function run(config: Config, start: Start): Promise<void> {
  const { systemd, priorities, journal } = start;
  const logger = JsonLogger.to(process.stdout, {
    level: config.log.level,
    priorities,
    ...(journal === undefined ? {} : { journal }),
  });
  const live = new LiveConfig(config);
  const identity = identityOf(config.host.name);
  const reasons = new EndReason();
  const ends: End[] = [];
  try {
    const lock = await acquireStateLock(config.state.dir);
    ends.push(() => lock.release());
    const daemon = compose(live, identity, logger, (reason) => reasons.because(reason));
    ends.push(...endsOf(daemon, live));
    for (const records of Object.values(daemon.records)) await records.load();
    if (config.net.tuneNeighbourTable) void tuneNeighbourTable(daemon.neighbourLimits, logger);
    daemon.throttle.limits.start();
    daemon.links.sandboxes.start();
    daemon.links.events.start();
    // Before the engine is answered: it restores containers as soon as it is.
    await daemon.links.uplinkKeeper.start(UPLINKS_LIMIT_MS);
    await listen(daemon, live, start, ends);
    systemd.ready('serving');
    const reloading = new Reloading({ load: start.load }, { live, systemd, logger });
    process.on('SIGHUP', () => reloading.reload());
    const { host, version, instance } = identity;
    logger.info('the daemon serves', { host, version, pid: process.pid, instance });

    void daemon.net.linkList().catch(() => {});
    void openStore(daemon).catch((error: unknown) => reasons.because(toDriverError(error)));
    const following = daemon.engine.follow({
      onConnected: () => {
        daemon.finder.connected(true);
        daemon.throttle.containers.engineReturned();
        daemon.reconciler.engineReturned();
        daemon.links.uplinkKeeper.look();
      },
      onDisconnected: () => {
        daemon.finder.connected(false);
        daemon.reconciler.engineLost();
      },
      onEvent: ({ type, action, id }) => {
        if (type === 'container' && action === 'rename') daemon.throttle.containers.renamed(id);
      },
    });
    ends.push(async () => following.close());

    const reason = await reasons.reached;
    systemd.stopping('draining');
    logger.info('the daemon stops', reason instanceof Error ? { err: reason } : { signal: reason });
    if (reason instanceof Error) throw reason;
  } finally {
    for (const end of ends.reverse())
      await end().catch((err: unknown) => logger.error('an end failed', { err }));
    await systemd.close();
    await logger.close();
  }
}

/** The admin socket first: it is for people, and the engine must not be answered before all is there. */
async function listen(daemon: Daemon, live: LiveConfig, start: Start, ends: End[]): Promise<void> {
  const { config } = live;
  const fdOf = (fd: number | undefined) => (fd === undefined ? {} : { fd });
  const admin = await listenOn(createServer(daemon.admin), {
    path: config.admin.socket,
    ...fdOf(start.sockets.admin),
  });
  ends.push(() => admin.close(live.config.limits.drainTimeoutMs));
  const server = createServer(daemon.plugin.app);
  configureServer(server);
  const plugin = await listenOn(server, { path: config.docker.pluginSocket, ...fdOf(start.sockets.plugin) });
  start.serving = true;
  ends.push(() => {
    const { drainTimeoutMs } = live.config.limits;
    return Promise.all([plugin.close(drainTimeoutMs), daemon.plugin.drain(drainTimeoutMs)]);
  });
}

/** In the order of making; to be ended from the last to the first. */
function endsOf(daemon: Daemon, live: LiveConfig): End[] {
  const atMostDrain = (work: Promise<unknown>) => atMost(live.config.limits.drainTimeoutMs, work);
  return [
    async () => daemon.embedded?.stop(),
    () => daemon.kernel.close(),
    () => daemon.links.uplinkKeeper.close(),
    async () => daemon.links.sandboxes.close(),
    () => daemon.links.events.close(),
    async () => daemon.kv.close(),
    () => daemon.session.stop(),
    () => daemon.book.close(),
    () => daemon.arp.close(),
    () => daemon.throttle.close(),
    async () => {
      // A reconciliation under way fails at its next step, and keeps what it has not done.
      daemon.committer.close();
      await atMostDrain(daemon.reconciler.close());
    },
    async () => daemon.holders.close(),
    // While the session still holds and the committer still sends.
    () => atMostDrain(daemon.warmStock?.close() ?? Promise.resolve()),
    () => atMostDrain(daemon.sweeper.close()),
  ];
}

/** etcd, then the session, then what this host holds; each may take long, nothing waits for it but calls. */
async function openStore(daemon: Daemon): Promise<void> {
  await daemon.embedded?.start();
  await daemon.session.start();
  daemon.committer.pump();
  daemon.sweeper.start();
  daemon.throttle.report.start();
  daemon.throttle.usage.start();
  await untilDone(() => daemon.book.load());
  await untilDone(() => daemon.arp.macs.load());
  await untilDone(() => daemon.throttle.overrides.load());
  await untilDone(() => daemon.leases.load());
  await daemon.arp.start();
}

function atMost(ms: number, work: Promise<unknown>): Promise<unknown> {
  return Promise.race([work, new Promise((resolve) => setTimeout(resolve, ms).unref())]);
}

/** The first reason to end: a signal, or an error. */
class EndReason {
  readonly reached: Promise<NodeJS.Signals | Error>;
  #resolve: (reason: NodeJS.Signals | Error) => void = () => {};

  constructor() {
    this.reached = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => this.#resolve(signal));
  }

  because(reason: Error): void {
    this.#resolve(reason);
  }
}
