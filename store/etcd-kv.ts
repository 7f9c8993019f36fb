/**
 * etcd behind `KvPort`. Holds the CONTRACT of `store/kv.ts`: nothing is sent twice, every call ends in time, no
 * circuit breaker, watches lose nothing.
 *
 * Must not know what Lanius stores. Keys, values and transactions are the callers' business.
 *
 * @see ADR 0002; test/contract/kv.test.ts
 */
import { type Clock, systemClock } from '../core/clock.ts';
import { InternalError, NotFound } from '../core/errors.ts';
import { type Logger, silentLogger } from '../core/log.ts';
import { keyValueOf, rangeRequestOf, revisionOf } from './etcd-codec.ts';
import { EtcdTransport, type EtcdTransportOptions } from './etcd-transport.ts';
import { keepAliveOnce } from './etcd-ttl.ts';
import { decodeTxn, encodeTxn } from './etcd-txn-codec.ts';
import { EtcdWatch } from './etcd-watch.ts';
import type {
  CallOptions,
  KeyRange,
  KvPort,
  RangeOptions,
  RangeResult,
  StoreStatus,
  Transaction,
  TransactionResult,
  Watch,
  WatchHandlers,
} from './kv.ts';

const DEFAULT_TIMEOUT_MS = 1500;

export interface EtcdKvOptions extends EtcdTransportOptions {
  /** For every call that names none, in milliseconds; 1500 by default. */
  readonly timeoutMs?: number;
}

export interface EtcdKvDependencies {
  readonly logger?: Logger;
  readonly clock?: Clock;
}

export class EtcdKv implements KvPort {
  readonly #transport: EtcdTransport;
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #watches = new Set<EtcdWatch>();

  /** Connects at the first call. @throws InvalidRequest for hosts or TLS files that cannot be used */
  constructor(options: EtcdKvOptions, dependencies: EtcdKvDependencies = {}) {
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#logger = dependencies.logger ?? silentLogger;
    this.#clock = dependencies.clock ?? systemClock;
    this.#transport = new EtcdTransport(options, { clock: this.#clock, logger: this.#logger });
  }

  async range(range: KeyRange, options: RangeOptions = {}): Promise<RangeResult> {
    const request = rangeRequestOf(range, options);
    const answer = await this.#transport.call('KV/range', request, this.#limitOf(options));
    return {
      revision: revisionOf(answer.header.revision),
      kvs: answer.kvs.map(keyValueOf),
      count: Number(answer.count),
    };
  }

  async txn(txn: Transaction, options: CallOptions = {}): Promise<TransactionResult> {
    const answer = await this.#transport.call('KV/txn', encodeTxn(txn), this.#limitOf(options));
    return decodeTxn(txn, answer);
  }

  async ttlGrant(ttlSeconds: number, options: CallOptions = {}): Promise<string> {
    const request = { TTL: ttlSeconds, ID: 0 };
    const answer = await this.#transport.call('Lease/leaseGrant', request, this.#limitOf(options));
    return answer.ID;
  }

  async ttlKeepAlive(ttlId: string, options: CallOptions = {}): Promise<number> {
    return await keepAliveOnce(ttlId, this.#limitOf(options), {
      transport: this.#transport,
      clock: this.#clock,
    });
  }

  async ttlRevoke(ttlId: string, options: CallOptions = {}): Promise<void> {
    try {
      await this.#transport.call('Lease/leaseRevoke', { ID: ttlId }, this.#limitOf(options));
    } catch (thrown) {
      if (!(thrown instanceof NotFound)) throw thrown;
    }
  }

  watch(range: KeyRange, fromRevision: number, handlers: WatchHandlers): Watch {
    const watch = new EtcdWatch({ range, fromRevision, timeoutMs: this.#timeoutMs }, handlers, {
      transport: this.#transport,
      logger: this.#logger,
    });
    this.#watches.add(watch);
    void watch.ended.then(() => this.#watches.delete(watch));
    return watch;
  }

  async status(options: CallOptions = {}): Promise<StoreStatus> {
    const answer = await this.#transport.call('Maintenance/status', {}, this.#limitOf(options));
    return {
      version: answer.version,
      dbSizeBytes: Number(answer.dbSize),
      leader: BigInt(answer.leader).toString(16),
      alarms: answer.errors.map(alarmOf),
      revision: revisionOf(answer.header.revision),
    };
  }

  close(): void {
    for (const watch of this.#watches) void watch.close();
    this.#transport.close();
  }

  #limitOf(options: CallOptions): number {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    if (!(timeoutMs >= 0)) throw new InternalError(`${timeoutMs} is no time limit`);
    return timeoutMs;
  }
}

/** etcd prints an alarm as `memberID:123 alarm:NOSPACE `; a missing leader is a sentence. */
function alarmOf(text: string): string {
  return /alarm:(\w+)/.exec(text)?.[1] ?? text.replace(/^etcdserver: /, '');
}
