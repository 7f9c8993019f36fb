/**
 * Tells systemd how the daemon is: ready, stopping, a sentence for `systemctl status`, and a sign of life.
 *
 * Must not: fail the daemon. A message that cannot be sent is logged; without NOTIFY_SOCKET nothing is sent.
 * The variables are taken out of the environment, so that the embedded etcd, which speaks the same protocol,
 * does not announce itself as the service.
 * @see sd_notify(3), sd_watchdog_enabled(3)
 */
import type { Logger } from '../core/log.ts';

export interface SdNotifyDependencies {
  /** Usually process.env; NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are deleted from it. */
  readonly env: NodeJS.ProcessEnv;
  readonly pid: number;
  readonly logger: Logger;
}

export class SdNotify {
  /** Time between two signs of life, half of what systemd waits; undefined if it does not watch. */
  readonly watchdogIntervalMs: number | undefined;
  readonly #socket: string | undefined;
  readonly #logger: Logger;
  #queue: Promise<void> = Promise.resolve();
  #watchdog: NodeJS.Timeout | undefined;

  constructor({ env, pid, logger }: SdNotifyDependencies) {
    this.#logger = logger.child({ component: 'sd-notify' });
    this.#socket = env['NOTIFY_SOCKET'] || undefined;
    const watched = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid);
    const watchdogUsec = Number(env['WATCHDOG_USEC'] ?? 0);
    this.watchdogIntervalMs = watched && watchdogUsec > 0 ? Math.floor(watchdogUsec / 2000) : undefined;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
  }

  /**
   * The sockets are bound and calls are answered; from now on signs of life are sent.
   * @param isAlive a sign of life is left out while this says false, so that systemd restarts the daemon
   */
  ready(status: string, isAlive: () => boolean = () => true): void {
    this.#send(`READY=1\nSTATUS=${status}`);
    if (this.watchdogIntervalMs === undefined || this.#watchdog !== undefined) return;
    this.#watchdog = setInterval(() => {
      if (isAlive()) this.#send('WATCHDOG=1');
    }, this.watchdogIntervalMs);
    this.#watchdog.unref();
  }

  /** @param status one line for `systemctl status` */
  status(status: string): void {
    this.#send(`STATUS=${status}`);
  }

  /**
   * The configuration is read anew; `systemctl reload` waits until {@link ready} is said again.
   * @see sd_notify(3): the time is that of CLOCK_MONOTONIC
   */
  reloading(status: string): void {
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}\nSTATUS=${status}`);
  }

  /** The daemon ends; signs of life go on until `close`, because systemd watches the stopping too. */
  stopping(status: string): void {
    this.#send(`STOPPING=1\nSTATUS=${status}`);
  }

  /** Sends what is under way; no sign of life after this. */
  async close(): Promise<void> {
    clearInterval(this.#watchdog);
    await this.#queue;
  }

  #send(message: string): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#queue = this.#queue.then(async () => {
      try {
        // Loaded late: without systemd the foreign function interface is not needed here.
        const { sendUnixDatagram } = await import('./unix-datagram.ts');
        sendUnixDatagram(socket, message);
      } catch (error) {
        this.#logger.warn('systemd could not be told', { err: error, outcome: message });
      }
    });
  }
}
