/**
 * Keeps what the networks of this host stand on: makes it before the engine is answered for the first time, makes it
 * again when a link that vanished has returned (a driver reload takes every VLAN sub-interface and macvlan with it), and
 * removes what a crash left. By events of the kernel, and by a timer for what no event told.
 *
 * Must not: hold up the daemon's start for longer than its limit.
 */
import type { Logger } from '../core/log.ts';
import type { HostLinkEvent } from '../net/event-types.ts';
import type { LinkInfo } from '../net/port.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import { bridgeOf } from './bridge-mode.ts';
import type { Uplinks } from './uplinks.ts';

/** A driver that loads brings its links one after the other. */
const DEBOUNCE_MS = 50;
const INTERVAL_MS = 30_000;

export interface UplinkKeeperOptions {
  /** Between two looks that no event asked for. Default 30,000, with jitter. */
  readonly intervalMs?: number;
}

export interface UplinkKeeperDependencies {
  readonly uplinks: Pick<Uplinks, 'restore' | 'settle'>;
  readonly networks: { list(): readonly NetworkRecord[] };
  /** Called in every look, with the links that may be other ones than before: what stood on them is gone then. */
  readonly returned?: (names: ReadonlySet<string>) => Promise<void>;
  readonly logger: Logger;
}

export class UplinkKeeper {
  readonly #intervalMs: number;
  readonly #deps: UplinkKeeperDependencies;
  /** Index of each link that a network stands on, as last heard. */
  readonly #indexes = new Map<string, number>();
  /** Links that have gone since, and those that may be back. */
  readonly #gone = new Set<string>();
  readonly #back = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ intervalMs = INTERVAL_MS }: UplinkKeeperOptions, deps: UplinkKeeperDependencies) {
    this.#intervalMs = intervalMs;
    this.#deps = deps;
  }

  /**
   * The first look, which makes and does not remove: after it every network stands on what it needs, if that can be
   * made. What takes longer than `limitMs` goes on behind. Never throws.
   */
  async start(limitMs: number): Promise<void> {
    const restored = this.#deps.uplinks.restore();
    this.#running = restored;
    await Promise.race([restored, new Promise((resolve) => setTimeout(resolve, limitMs).unref())]);
    this.#schedule();
  }

  /** Something has changed of which no event tells: the engine is back. Returns at once. */
  look(): void {
    if (this.#closed || this.#soon !== undefined) return;
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      this.#running = this.#running.then(() => this.#run());
    }, DEBOUNCE_MS).unref();
  }

  /** For `LinkEvents.onHostLink`. Returns at once. */
  heard(event: HostLinkEvent): void {
    if (event.kind === 'resync') this.#lookAtAll();
    else if (event.kind === 'link-gone') this.#heardGone(event.name, event.linkIndex);
    else this.#heardLink(event.link);
  }

  /** Ends the timer, and waits for the look under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#soon);
    await this.#running;
  }

  #lookAtAll(): void {
    for (const name of this.#needed()) this.#back.add(name);
    this.look();
  }

  #heardLink({ name, linkIndex }: LinkInfo): void {
    const before = this.#indexes.get(name);
    if (before === linkIndex || !this.#needed().has(name)) return;
    this.#indexes.set(name, linkIndex);
    if (before === undefined && !this.#gone.has(name)) return;
    this.#gone.delete(name);
    this.#back.add(name);
    this.#deps.logger.warn('a link that networks stand on is back, as a new one', { link: name, linkIndex });
    this.look();
  }

  #heardGone(name: string, linkIndex: number): void {
    const before = this.#indexes.get(name);
    if ((before !== undefined && before !== linkIndex) || !this.#needed().has(name)) return;
    this.#indexes.delete(name);
    this.#gone.add(name);
    this.#deps.logger.warn('a link that networks stand on has gone, and with it what stood on it', {
      link: name,
      linkIndex,
    });
    // A sub-interface that somebody deleted can be made at once.
    this.look();
  }

  #needed(): ReadonlySet<string> {
    const names = this.#deps.networks
      .list()
      .map((network) => [
        network.parent,
        network.vlan?.lower,
        network.mode === 'bridge' ? bridgeOf(network) : undefined,
      ]);
    return new Set(names.flat().filter((name) => name !== undefined));
  }

  /** Never throws. */
  async #run(): Promise<void> {
    const { uplinks, returned, logger } = this.#deps;
    try {
      await uplinks.restore();
      const back = new Set(this.#back);
      this.#back.clear();
      await returned?.(back);
      await uplinks.settle();
    } catch (err) {
      logger.debug('what networks stand on could not be looked through to the end', { err });
    } finally {
      this.#schedule();
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const jitter = 0.75 + Math.random() / 2;
    this.#timer = setTimeout(() => this.look(), this.#intervalMs * jitter).unref();
  }
}
