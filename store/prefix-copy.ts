/**
 * A copy of all keys under a prefix of etcd, fed by a watch, for what is few and asked often. Listed anew after every
 * interruption, because etcd may have been restored from a backup; while etcd is away the copy stands as it was.
 */
import type { Logger } from '../core/log.ts';
import type { KeyValue, KvPort, Watch } from './kv.ts';

/** What the copy has of a key. */
export type CopiedValue = Pick<KeyValue, 'value' | 'modRevision'>;

export interface PrefixCopyOptions {
  readonly prefix: string;
  /** For logs: `MAC exceptions`. */
  readonly what: string;
  /** The values are not wanted, and are all empty. */
  readonly keysOnly?: boolean;
}

export interface PrefixCopyDependencies {
  readonly kv: Pick<KvPort, 'range' | 'watch'>;
  /** Told what has changed: keys, after the copy has them (or has them no more). */
  readonly onChange: (keys: readonly string[]) => void;
  readonly logger: Logger;
}

/** Between two tries to list, in milliseconds. */
const RETRY_MS = 200;

export class PrefixCopy {
  readonly #options: PrefixCopyOptions;
  readonly #deps: PrefixCopyDependencies;
  #values = new Map<string, CopiedValue>();
  #watch: Watch | undefined;
  #loading: Promise<void> | undefined;
  #closed = false;
  #ready = false;
  #connected = false;

  constructor(options: PrefixCopyOptions, deps: PrefixCopyDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** It was listed once. */
  get ready(): boolean {
    return this.#ready;
  }

  /** It is as etcd is, but for what is under way. */
  get current(): boolean {
    return this.#connected;
  }

  *entries(): Iterable<readonly [key: string, value: string]> {
    for (const [key, { value }] of this.#values) yield [key, value];
  }

  get(key: string): CopiedValue | undefined {
    return this.#values.get(key);
  }

  /** Lists and watches from then on. @throws StoreUnavailable, and may be tried again */
  load(): Promise<void> {
    this.#loading ??= this.#list().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#watch?.close();
  }

  async #list(): Promise<void> {
    const { kv, onChange, logger } = this.#deps;
    const { prefix, what, keysOnly = false } = this.#options;
    const copied = ({ value, modRevision }: KeyValue): CopiedValue => ({
      value: keysOnly ? '' : value,
      modRevision,
    });
    const { kvs, revision } = await kv.range({ prefix }, { keysOnly });
    await this.#watch?.close();
    if (this.#closed) return;
    const before = this.#values;
    this.#values = new Map(kvs.map((item) => [item.key, copied(item)]));
    const changed = [...new Set([...before.keys(), ...this.#values.keys()])].filter(
      (key) => before.get(key)?.value !== this.#values.get(key)?.value,
    );
    const first = !this.#ready;
    this.#ready = true;
    this.#connected = true;
    let interrupted = false;
    this.#watch = kv.watch({ prefix }, revision + 1, {
      onEvents: (events) => {
        for (const { type, kv: item } of events) {
          if (type === 'put') this.#values.set(item.key, copied(item));
          else this.#values.delete(item.key);
        }
        onChange(events.map(({ kv: item }) => item.key));
      },
      onCompacted: () => this.#listAnew(),
      onDisconnected: (err) => {
        interrupted = true;
        this.#connected = false;
        logger.debug('a part of etcd cannot be watched, what is known stands', { what, err });
      },
      onConnected: () => {
        if (interrupted) this.#listAnew();
      },
    });
    if (first || changed.length > 0) onChange(changed);
  }

  /** Tries for as long as the daemon lives. */
  #listAnew(): void {
    if (this.#closed) return;
    this.load().catch((err: unknown) => {
      this.#deps.logger.debug('a part of etcd cannot be listed, it is tried again', {
        what: this.#options.what,
        err,
      });
      setTimeout(() => this.#listAnew(), RETRY_MS).unref();
    });
  }
}
