/**
 * One watch, kept alive by us: it resumes at the revision after the last event that was DELIVERED. (The npm
 * package resumes at the revision of the response header + 1; cut during catch-up it loses what lies between.)
 *
 * INVARIANTS
 * - `#next` only grows, and only after its events were handed over; what comes twice is dropped by revision.
 * - etcd never splits a revision over two messages (we do not ask for fragments), so "last revision + 1" is exact.
 * - After `close()` or `onCompacted` no handler is called any more.
 *
 * @see etcd api/etcdserverpb/rpc.proto WatchRequest, WatchResponse
 */
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { InternalError, StoreUnavailable } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { revisionOf, watchEventOf, wireRangeOf } from './etcd-codec.ts';
import type { EtcdTransport, OpenStream } from './etcd-transport.ts';
import type { KeyRange, Watch, WatchHandlers } from './kv.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;

export interface EtcdWatchOptions {
  readonly range: KeyRange;
  readonly fromRevision: number;
  /** For connecting and for etcd's "created". */
  readonly timeoutMs: number;
}

export class EtcdWatch implements Watch {
  readonly #options: EtcdWatchOptions;
  readonly #handlers: WatchHandlers;
  readonly #transport: EtcdTransport;
  readonly #logger: Logger;
  readonly #running: Promise<void>;
  #next: number;
  #closed = false;
  #wake: () => void = () => {};

  constructor(
    options: EtcdWatchOptions,
    handlers: WatchHandlers,
    dependencies: { transport: EtcdTransport; logger: Logger },
  ) {
    if (!Number.isSafeInteger(options.fromRevision) || options.fromRevision < 1) {
      throw new InternalError(`a watch cannot start at revision ${options.fromRevision}: list first`);
    }
    wireRangeOf(options.range);
    this.#options = options;
    this.#handlers = handlers;
    this.#transport = dependencies.transport;
    this.#logger = dependencies.logger;
    this.#next = options.fromRevision;
    this.#running = this.#run();
  }

  /** Resolves once it has ended, by `close()` or by compaction; never rejects. */
  get ended(): Promise<void> {
    return this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    let reported = false;
    // Leaves the constructor first: handlers must not run before the caller holds the Watch.
    await Promise.resolve();
    while (!this.#closed) {
      let connected = false;
      const error = await this.#session(() => {
        connected = true;
        reported = false;
        this.#tell('onConnected', () => this.#handlers.onConnected?.());
      });
      if (this.#closed) return;
      if (!reported) this.#tell('onDisconnected', () => this.#handlers.onDisconnected?.(error));
      reported = true;
      pauseMs = connected ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      await this.#pause(pauseMs * (0.75 + Math.random() / 2));
    }
  }

  /** One stream, from opening to its end. @returns why it ended */
  async #session(onCreated: () => void): Promise<unknown> {
    let finish: (reason: unknown) => void = () => {};
    const ended = new Promise<unknown>((resolve) => {
      finish = resolve;
    });
    const { timeoutMs } = this.#options;
    let open: OpenStream<IWatchRequest, IWatchResponse>;
    try {
      const cut = () => finish(new StoreUnavailable('the connection to etcd was replaced'));
      open = await this.#transport.open('Watch/watch', cut, timeoutMs);
    } catch (error) {
      return error;
    }
    if (this.#closed) {
      open.end();
      return undefined;
    }
    this.#wake = () => finish(undefined);
    const { stream, host } = open;
    let silent = true;
    const timer = setTimeout(() => {
      finish(new StoreUnavailable(`etcd at ${host} does not begin a watch within ${timeoutMs} ms`));
    }, timeoutMs);
    let over = false;
    stream.on('data', (response) => {
      if (over || this.#closed) return;
      silent = false;
      if (response.canceled) {
        over = true;
        finish(this.#cancelled(response, host));
        return;
      }
      if (response.created) {
        clearTimeout(timer);
        onCreated();
      }
      this.#deliver(response);
    });
    stream.on('error', (error) => {
      finish(open.failed(error));
    });
    stream.on('end', () => finish(new StoreUnavailable(`etcd at ${host} ended the watch`)));
    stream.write({ create_request: { ...wireRangeOf(this.#options.range), start_revision: this.#next } });
    const reason = await ended;
    over = true;
    clearTimeout(timer);
    this.#wake = () => {};
    open.end(silent && !this.#closed && reason instanceof StoreUnavailable);
    return reason;
  }

  #deliver(response: IWatchResponse): void {
    const events = response.events.map(watchEventOf).filter((event) => event.kv.modRevision >= this.#next);
    const last = events.at(-1);
    if (last === undefined) return;
    this.#tell('onEvents', () => this.#handlers.onEvents(events, last.kv.modRevision));
    this.#next = last.kv.modRevision + 1;
  }

  /** etcd itself ended the watch: history is gone for good, or a login or a right is missing. */
  #cancelled(response: IWatchResponse, host: string): unknown {
    const compactRevision = revisionOf(response.compact_revision);
    if (compactRevision > 0) {
      this.#closed = true;
      this.#tell('onCompacted', () => this.#handlers.onCompacted(compactRevision));
      return undefined;
    }
    this.#transport.forgetLogin();
    this.#logger.warn('etcd refused a watch', { host, reason: response.cancel_reason });
    return new StoreUnavailable(
      `etcd at ${host} refuses the watch (${response.cancel_reason}): check etcd.auth and the rights of that user`,
    );
  }

  /** A handler that throws is a bug of its owner; it must not end the process or the watch. */
  #tell(handler: string, call: () => void): void {
    try {
      call();
    } catch (err) {
      this.#logger.error('a handler of a watch threw', { handler, err });
    }
  }

  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
