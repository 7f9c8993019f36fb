/**
 * What happens to links, told as it happens: the thread that listens (net/event-worker.ts), for everybody above. Must
 * not decide what an event means, nor ask the kernel anything.
 *
 * INVARIANTS
 * - The first thing that listeners hear is a resync, once listening has begun; what changed before is theirs to find.
 * - Nothing is lost silently: where events were lost a resync is told.
 * - The thread hands over at most a few batches more than have been taken, so a storm costs events (and a resync), not
 *   memory.
 * - A thread that ends by itself is started anew, after a pause.
 */
import { closeSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type DriverError, toDriverError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { HostLinkEvent, KernelEvent } from './event-types.ts';
import type { EventWorkerMessage, EventWorkerOptions } from './event-worker-protocol.ts';
import { unpackError } from './worker-protocol.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** The thread needs little; a leak must end it, not the host. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 };

/** What an eventfd is written. */
const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

export interface LinkEventsOptions {
  /** Listen in this network namespace instead of the process's own. */
  readonly namespacePath?: string;
}

export interface LinkEventsDependencies {
  readonly log: Logger;
  /** Starts the thread; replaced where a test must get hold of it. */
  readonly startWorker?: (options: EventWorkerOptions) => Worker;
}

export type EventsListener = (events: readonly KernelEvent[]) => void;

export class LinkEvents {
  readonly #options: LinkEventsOptions;
  readonly #log: Logger;
  readonly #startWorker: (options: EventWorkerOptions) => Worker;
  readonly #listeners = new Set<EventsListener>();
  #listening: Listening | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #again: NodeJS.Timeout | undefined;
  #failure: DriverError | undefined;
  #begun = false;
  #closed = false;

  constructor(options: LinkEventsOptions, { log, startWorker = startEventWorker }: LinkEventsDependencies) {
    this.#options = options;
    this.#log = log.child({ component: 'events' });
    this.#startWorker = startWorker;
  }

  /** Why nothing is heard at the moment: the kernel refused, or the thread ended; undefined if all is well. */
  get failure(): DriverError | undefined {
    return this.#failure;
  }

  /** Begins to listen. Idempotent; never throws: what fails is logged, kept in `failure`, and tried again. */
  start(): void {
    if (this.#begun || this.#closed) return;
    this.#begun = true;
    this.#listen();
  }

  /**
   * Everything that is told, in batches, in the kernel's order. A listener must return soon and not throw.
   * @returns ends the subscription
   */
  onEvents(listener: EventsListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The links of the daemon's own namespace, one event a call. Of a link without our mark that changes several times at
   * once only the last state is told.
   * @returns ends the subscription
   */
  onHostLink(listener: (event: HostLinkEvent) => void): () => void {
    return this.onEvents((events) => {
      for (const event of events) {
        if (event.kind === 'resync') {
          if (event.lost === 'all') listener(event);
        } else if ((event.kind === 'link' || event.kind === 'link-gone') && event.nsid === undefined) {
          listener(event);
        }
      }
    });
  }

  /** Ends the thread. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#again);
    await this.#listening?.end();
  }

  #listen(): void {
    const listening: Listening = new Listening(this.#startWorker, this.#options, {
      onReady: () => {
        this.#failure = undefined;
        this.#pauseMs = FIRST_PAUSE_MS;
        this.#tell([{ kind: 'resync', lost: 'all' }]);
      },
      onEvents: (events) => this.#tell(events),
      onNote: (message, fields) => this.#log.warn(message, fields),
      onEnd: (reason) => {
        this.#listening = undefined;
        if (!this.#closed) this.#pause(reason);
      },
    });
    this.#listening = listening;
  }

  #pause(reason: DriverError): void {
    if (this.#failure?.message !== reason.message) {
      this.#log.error('link events are not heard; settings in sandboxes wait for the periodic check', {
        err: reason,
      });
    }
    this.#failure = reason;
    this.#again = setTimeout(() => this.#listen(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }

  #tell(events: readonly KernelEvent[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(events);
      } catch (err) {
        this.#log.error('a listener of link events failed', { err });
      }
    }
  }
}

interface ListeningEvents {
  onReady(): void;
  onEvents(events: readonly KernelEvent[]): void;
  onNote(message: string, fields: Readonly<Record<string, unknown>>): void;
  /** Once, however it ended. */
  onEnd(reason: DriverError): void;
}

/** One life of the thread. */
class Listening {
  readonly #worker: Worker;
  readonly #taken = new Int32Array(new SharedArrayBuffer(8));
  readonly #ended: Promise<void>;
  /** An eventfd of the thread's; ours to close, because a number that the thread closed may be another file's. */
  #wakeFd: number | undefined;
  #ending = false;

  constructor(
    startWorker: (options: EventWorkerOptions) => Worker,
    options: LinkEventsOptions,
    events: ListeningEvents,
  ) {
    let reason: DriverError | undefined;
    this.#worker = startWorker({ ...options, taken: this.#taken });
    this.#worker.unref();
    this.#worker.on('message', (message: EventWorkerMessage) => {
      switch (message.kind) {
        case 'ready':
          this.#wakeFd = message.wakeFd;
          return this.#ending ? this.#wake() : events.onReady();
        case 'events':
          Atomics.add(this.#taken, 0, 1);
          Atomics.notify(this.#taken, 0);
          return events.onEvents(message.events);
        case 'note':
          return events.onNote(message.message, { err: unpackError(message.error) });
        case 'failed':
          reason = unpackError(message.error);
      }
    });
    this.#worker.on('error', (error) => {
      reason = toDriverError(error);
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', (exitCode) => {
        if (this.#wakeFd !== undefined) closeSync(this.#wakeFd);
        this.#wakeFd = undefined;
        events.onEnd(reason ?? toDriverError(new Error(`the event thread ended with code ${exitCode}`)));
        resolve();
      });
    });
  }

  end(): Promise<void> {
    this.#ending = true;
    Atomics.store(this.#taken, 1, 1);
    Atomics.notify(this.#taken, 0);
    this.#worker.ref();
    this.#wake();
    return this.#ended;
  }

  #wake(): void {
    if (this.#wakeFd !== undefined) writeSync(this.#wakeFd, ONE);
  }
}

/** Starts `net/event-worker`, which stands beside this file in compiled output. */
export function startEventWorker(options: EventWorkerOptions): Worker {
  return new Worker(new URL('./event-worker.js', import.meta.url), {
    workerData: options,
    name: 'lanius-events',
    resourceLimits: RESOURCE_LIMITS,
  });
}
