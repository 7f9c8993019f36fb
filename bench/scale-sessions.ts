/**
 * Idle daemons as etcd sees them, many in one process: each has a session of its own that it keeps alive, a watch on
 * the pools, and looks at its host's index once a minute, as reconciliation does. Simulated in this: some share a
 * connection, where real ones have one each.
 */
import { systemClock as clock } from '../core/clock.ts';
import { randomId } from '../core/ids.ts';
import { silentLogger as logger } from '../core/log.ts';
import { configSchema } from '../daemon/config-schema.ts';
import { Session } from '../ipam/commit/session.ts';
import { PoolBook } from '../ipam/pool/pool-book.ts';
import { OwnIndex } from '../ipam/reconcile/own-index.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import { inBatches, layout } from './bench-etcd.ts';

/** Daemons on one connection. */
export const SHARING = 20;

const AT_ONCE = 8;
const DEFAULTS = configSchema.parse({});

export class IdleDaemons {
  readonly #etcd: string;
  readonly #connections: EtcdKv[] = [];
  readonly #ends: (() => Promise<unknown>)[] = [];
  #count = 0;

  constructor(etcd: string) {
    this.#etcd = etcd;
  }

  /** Starts as many as are missing. @throws if one does not start */
  async upTo(count: number): Promise<void> {
    const missing = Array.from({ length: count - this.#count }, (_, i) => this.#count + i);
    await inBatches(missing, 1, async ([index = 0]) => this.#start(index), AT_ONCE);
    this.#count = count;
  }

  async stop(): Promise<void> {
    await inBatches(this.#ends, 1, async ([end]) => end?.(), AT_ONCE);
    for (const kv of this.#connections) kv.close();
  }

  async #start(index: number): Promise<void> {
    const kv = this.#connectionOf(index);
    const host = `idle-${index}`;
    const { ttlSeconds } = DEFAULTS.session;
    const session = new Session(
      {
        host,
        hostname: host,
        machineId: `machine-${index}`,
        bootId: randomId(16),
        instance: randomId(8),
        version: '0',
        labels: {},
        ttlSeconds,
      },
      {
        kv,
        layout,
        clock,
        logger,
        onSuperseded: (reason) => {
          throw reason;
        },
      },
    );
    await session.start();
    const book = new PoolBook({ coolingSeconds: 0 }, { kv, layout, logger });
    await book.load();
    const ownIndex = new OwnIndex({ host }, { kv, layout, logger });
    const intervalMs = DEFAULTS.reconcile.intervalSeconds * 1000;
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      void ownIndex.read([]).finally(() => schedule(intervalMs));
    };
    const schedule = (ms: number): void => {
      timer = setTimeout(look, ms);
    };
    schedule(Math.random() * intervalMs);
    this.#ends.push(async () => {
      clearTimeout(timer);
      await book.close();
      await session.stop();
    });
  }

  #connectionOf(index: number): EtcdKv {
    const at = Math.floor(index / SHARING);
    const known = this.#connections[at];
    if (known !== undefined) return known;
    const made = new EtcdKv({ hosts: [this.#etcd], timeoutMs: 30_000 }, { logger, clock });
    this.#connections[at] = made;
    return made;
  }
}
