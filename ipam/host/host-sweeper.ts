/**
 * Finds dead hosts and, after a grace period, frees what they have. Only for those who have set
 * `reconcile.deadHostGraceSeconds`: a host without a daemon may still have containers that use their addresses.
 *
 * One daemon of all looks, elected by a TTL key. The election only saves work: two at once do no harm, since every
 * transaction compares that the host is dead and marked as it was seen. No clocks are compared, the grace period is a TTL.
 */
import type { Clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { Conflict, toDriverError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Compare, KeyValue, KvPort, OperationResult } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { type DeadValue, deadSchema, decode } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import { judgeHosts } from './dead-hosts.ts';
import type { HostForgetting } from './host-forgetting.ts';

export interface HostSweeperOptions {
  readonly host: string;
  readonly instance: string;
  /** From the moment that a host is noticed to be dead. 0: never, and nothing is looked for. */
  readonly graceSeconds: number;
  /** Between two looks, in milliseconds. Default 60,000. */
  readonly intervalMs?: number;
}

export interface HostSweeperDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly forgetting: HostForgetting;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long one turn of freeing takes at most, in milliseconds. */
const TURN_MS = 10_000;

export class HostSweeper {
  readonly #options: HostSweeperOptions;
  readonly #deps: HostSweeperDependencies;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #ttlId: string | undefined;
  #closed = false;
  /** Of the last look. */
  #revision = 0;

  constructor(options: HostSweeperOptions, deps: HostSweeperDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#intervalMs = options.intervalMs ?? 60_000;
  }

  /** Looks from now on, from time to time. */
  start(): void {
    if (this.#options.graceSeconds === 0 || this.#closed) return;
    // Jitter: hosts that started together do not look together for ever.
    const waitMs = this.#intervalMs * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => {
      this.#sweeping = this.sweep().finally(() => this.start());
    }, waitMs);
    this.#timer.unref();
  }

  /** Ends after the turn under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#sweeping;
    if (this.#ttlId !== undefined) await this.#deps.kv.ttlRevoke(this.#ttlId).catch(() => {});
  }

  /** One look, if this daemon is the one that looks. Never rejects. */
  async sweep(): Promise<void> {
    const { logger } = this.#deps;
    try {
      if (await this.#isElected()) await this.#sweep();
    } catch (error) {
      const { retryable } = toDriverError(error);
      logger[retryable ? 'debug' : 'error']('dead hosts could not be looked for', { err: error });
    }
  }

  async #sweep(): Promise<void> {
    const { graceSeconds } = this.#options;
    const { logger } = this.#deps;
    const { look, marks, revision } = await this.#look();
    const wentBack = revision < this.#revision;
    this.#revision = revision;
    // Restored from a backup, with marks of hosts that live by now: until the next look they have their sessions again.
    if (wentBack) return;
    const { notice, forget, clear } = judgeHosts(look);
    for (const host of notice) {
      if (await this.#mark(host))
        logger.warn('a host holds addresses and has no daemon', { deadHost: host, graceSeconds });
    }
    const failures: unknown[] = [];
    for (const [host, mark] of marks) {
      try {
        if (clear.includes(host)) await this.#clear(host, mark);
        if (forget.includes(host)) await this.#forget(host, mark);
      } catch (error) {
        // A lease that cannot be read, for example: the other hosts do not wait for its repair.
        failures.push(error);
        if (toDriverError(error).retryable) break;
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Everything at one revision. */
  async #look(): Promise<{
    readonly look: Parameters<typeof judgeHosts>[0];
    readonly marks: ReadonlyMap<string, KeyValue>;
    readonly revision: number;
  }> {
    const { kv, layout } = this.#deps;
    const keysOf = (prefix: string) => ({ do: 'get', range: { prefix }, keysOnly: true }) as const;
    const { results, revision } = await kv.txn({
      compare: [],
      success: [
        keysOf(layout.hosts),
        keysOf(layout.sessions),
        { do: 'get', range: { prefix: layout.deads } },
        keysOf(layout.deadWait('')),
        keysOf(`${layout.prefix}uses/`),
      ],
    });
    const [hosts, sessions, marks, waits, uses] = results.map(kvsOf);
    const lastParts = (kvs: readonly KeyValue[] = []): string[] => kvs.map(({ key }) => lastPart(key));
    const alive = new Set(lastParts(sessions));
    const holding = new Set(lastParts(uses));
    const registered = lastParts(hosts);
    for (const host of registered.filter((one) => !alive.has(one) && !holding.has(one))) {
      const { count } = await kv.range({ prefix: layout.byHost(host) }, { countOnly: true });
      if (count > 0) holding.add(host);
    }
    const marked = new Map((marks ?? []).map((item) => [lastPart(item.key), item]));
    const waiting = new Set(lastParts(waits));
    return {
      look: { hosts: registered, alive, holding, marked: [...marked.keys()], waiting },
      marks: marked,
      revision,
    };
  }

  /** @returns false if another was faster, or the host lives */
  async #mark(host: string): Promise<boolean> {
    const { kv, layout, committer, clock } = this.#deps;
    const value: DeadValue = { v: 1, since: clock.wall(), noticedBy: this.#options.host };
    const ttlId = await kv.ttlGrant(this.#options.graceSeconds);
    const [key, waitKey] = [layout.dead(host), layout.deadWait(host)];
    const { succeeded } = await committer.submit({
      lockKey: key,
      txn: {
        compare: [
          { test: 'absent', key: layout.session(host) },
          { test: 'absent', key },
        ],
        success: [
          { do: 'put', key, value: JSON.stringify(value) },
          { do: 'put', key: waitKey, value: JSON.stringify({ v: 1 }), ttlId },
        ],
      },
      deadline: deadlineAfter(TURN_MS, clock),
    });
    return succeeded;
  }

  async #clear(host: string, mark: KeyValue): Promise<void> {
    const { layout, committer, clock } = this.#deps;
    await committer.submit({
      lockKey: mark.key,
      txn: {
        compare: [asSeen(mark)],
        success: [mark.key, layout.deadWait(host)].map((key) => ({ do: 'delete', range: { key } })),
      },
      deadline: deadlineAfter(TURN_MS, clock),
    });
  }

  async #forget(host: string, mark: KeyValue): Promise<void> {
    const { forgetting, clock, logger } = this.#deps;
    const { since } = decode(deadSchema, mark.key, mark.value);
    const freed = { leases: 0, holds: 0, uses: 0 };
    try {
      for (let done = false; !done && !this.#closed; ) {
        const part = await forgetting.free(host, deadlineAfter(TURN_MS, clock), [asSeen(mark)]);
        freed.leases += part.leases;
        freed.holds += part.holds;
        freed.uses += part.uses;
        ({ done } = part);
      }
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      logger.info('a dead host has come back', { deadHost: host, err: error });
      return;
    }
    if (this.#closed) return;
    await this.#clear(host, mark);
    logger.warn('the grace period of a dead host is over, what it had was freed', {
      deadHost: host,
      since: new Date(since).toISOString(),
      ...freed,
    });
  }

  async #isElected(): Promise<boolean> {
    const { kv, layout, committer, clock } = this.#deps;
    const key = layout.sweeper;
    const mine = JSON.stringify({ v: 1, host: this.#options.host, instance: this.#options.instance });
    if (this.#ttlId !== undefined && (await kv.ttlKeepAlive(this.#ttlId)) === 0) this.#ttlId = undefined;
    const [there] = (await kv.range({ key })).kvs;
    if (there !== undefined) return there.value === mine && this.#ttlId !== undefined;
    const ttlId = await kv.ttlGrant(Math.max(5, Math.ceil((3 * this.#intervalMs) / 1000)));
    const { succeeded } = await committer.submit({
      lockKey: key,
      txn: {
        compare: [{ test: 'absent', key }],
        success: [{ do: 'put', key, value: mine, ttlId }],
      },
      deadline: deadlineAfter(TURN_MS, clock),
    });
    if (succeeded) this.#ttlId = ttlId;
    else await kv.ttlRevoke(ttlId);
    return succeeded;
  }
}

function asSeen({ key, modRevision }: KeyValue): Compare {
  return { test: 'modRevision', key, equals: modRevision };
}

function kvsOf(result: OperationResult): readonly KeyValue[] {
  return result.did === 'get' ? result.kvs : [];
}

function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
