/**
 * `lanius daemon` and `lanius config`: starting and stopping in order.
 *
 * The sockets answer first, and READY is told to systemd, before etcd or the engine have answered: the engine
 * must never find the plugin missing, and calls wait for etcd within their own limits. What cannot pass by
 * itself (settings, another daemon, no etcd installed) ends the daemon with one line.
 */
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { DriverError, oneLine, toDriverError } from '../core/errors.ts';
import { configureServer } from '../plugin/server.ts';
import { acquireStateLock } from '../store/state-lock.ts';
import { compose, type Daemon } from './compose.ts';
import { loadConfig } from './config.ts';
import { DAEMON_HELP, runConfigCommand } from './config-command.ts';
import type { Config } from './config-schema.ts';
import { identityOf } from './identity.ts';
import { listenOn } from './listen.ts';
import { goesToJournal, JsonLogger } from './logger.ts';
import { refuseCalls } from './refuse.ts';
import { SdNotify } from './sd-notify.ts';
import { type ActivatedSockets, takeActivatedSockets } from './socket-activation.ts';

/** @param argv without program and script: `daemon …` or `config …` @returns the exit status */
export async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command === 'config') return runConfigCommand(rest);
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(DAEMON_HELP);
    return 0;
  }
  const priorities = goesToJournal(process.env, process.stdout.fd);
  const systemd = new SdNotify({
    env: process.env,
    pid: process.pid,
    logger: JsonLogger.to(process.stdout, { level: 'warn', priorities }),
  });
  const sockets = takeActivatedSockets(process.env, process.pid);
  const start: Start = { systemd, sockets, priorities, serving: false };
  try {
    const { config } = loadConfig({ argv: rest, env: process.env, hostname: hostname() });
    await run(config, start);
    return 0;
  } catch (error) {
    await giveUp(error, start);
    return 1;
  }
}

/** What the daemon was given by whoever started it. */
interface Start {
  readonly systemd: SdNotify;
  readonly sockets: ActivatedSockets;
  readonly priorities: boolean;
  /** The plugin's socket is in use, or was. */
  serving: boolean;
}

/** Says why, in the log and for `systemctl status`; answers the calls that wait. */
async function giveUp(error: unknown, { systemd, sockets, serving }: Start): Promise<void> {
  const text =
    error instanceof DriverError
      ? `lanius: ${error.message}`
      : error instanceof Error
        ? error.message
        : String(error);
  const mark = goesToJournal(process.env, process.stderr.fd) ? '<3>' : '';
  process.stderr.write(`${text.replaceAll(/^/gm, mark)}\n`);
  const reason = oneLine(text.replaceAll(/^lanius: /gm, ''));
  systemd.status(reason);
  if (sockets.plugin !== undefined && !serving) await refuseCalls(sockets.plugin, reason);
  await systemd.close();
}

/** Runs until SIGTERM or SIGINT. @throws what ends the daemon before its time */
async function run(config: Config, start: Start): Promise<void> {
  const { systemd, sockets, priorities } = start;
  const logger = JsonLogger.to(process.stdout, { level: config.log.level, priorities });
  const identity = identityOf(config.host.name);
  const lock = await acquireStateLock(config.state.dir);
  const end = new Ending();
  const daemon = compose(config, identity, logger, (reason) => end.because(reason));
  for (const records of Object.values(daemon.records)) await records.load();

  const pluginServer = createServer(daemon.plugin.app);
  configureServer(pluginServer);
  const fdOf = (fd: number | undefined) => (fd === undefined ? {} : { fd });
  const adminListener = await listenOn(createServer(daemon.admin), {
    path: config.admin.socket,
    ...fdOf(sockets.admin),
  });
  start.serving = true;
  const pluginListener = await listenOn(pluginServer, {
    path: config.docker.pluginSocket,
    ...fdOf(sockets.plugin),
  });
  systemd.ready('serving');
  logger.info('the daemon serves', {
    host: identity.host,
    version: identity.version,
    pid: process.pid,
    instance: identity.instance,
  });

  void daemon.net.linkList().catch(() => {});
  void openStore(daemon).catch((error: unknown) => end.because(toDriverError(error)));
  const following = daemon.engine.follow({
    onConnected: () => daemon.reconciler.engineReturned(),
    onDisconnected: () => daemon.reconciler.engineLost(),
    onEvent: () => {},
  });

  const reason = await end.reached;
  systemd.stopping('draining');
  logger.info('the daemon stops', reason instanceof Error ? { err: reason } : { signal: reason });
  const { drainTimeoutMs } = config.limits;
  following.close();
  daemon.holders.close();
  await Promise.all([
    pluginListener.close(drainTimeoutMs),
    daemon.plugin.drain(drainTimeoutMs),
    daemon.reconciler.close(),
  ]);
  await adminListener.close(drainTimeoutMs);
  daemon.committer.close();
  await daemon.session.stop();
  daemon.kv.close();
  await daemon.net.close();
  await daemon.embedded?.stop();
  await lock.release();
  await systemd.close();
  await logger.close();
  if (reason instanceof Error) throw reason;
}

/** etcd, then the session, then what this host holds; each may take long, nothing waits for it but calls. */
async function openStore(daemon: Daemon): Promise<void> {
  await daemon.embedded?.start();
  await daemon.session.start();
  daemon.committer.pump();
  for (;;) {
    try {
      await daemon.leases.load();
      return;
    } catch (error) {
      if (!toDriverError(error).retryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** The first reason to end: a signal, or an error. */
class Ending {
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
