/**
 * The daemon's session in etcd: one key per host on a TTL, whose mod revision (the epoch) fences every write.
 *
 * INVARIANTS
 * - Nothing is written to etcd without comparing the epoch (see `fence`), so a copy of a request that is still
 *   under way when the epoch moves can never be executed.
 * - After an unknown outcome the epoch is bumped before anything else is sent (`bump`).
 * - One living daemon a host: a session of another machine is never taken over, one of this machine is (the
 *   state lock of store/state-lock.ts has shown before that its daemon is dead).
 * - No lease hangs on the TTL: a dead daemon does not stop containers.
 */
import type { Clock } from '../core/clock.ts';
import { Conflict, NotFound, StoreUnavailable } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Compare, KeyValue, KvPort, Operation } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import { decode, type HostValue, type SessionValue, sessionSchema } from '../store/schema.ts';

export interface SessionOptions {
  readonly host: string;
  readonly hostname: string;
  readonly machineId: string;
  readonly bootId: string;
  /** Random, new for every process. */
  readonly instance: string;
  readonly version: string;
  readonly ttlSeconds: number;
}

export interface SessionDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Another daemon has this host id: this one must end. Called once. */
  readonly onSuperseded: (reason: Conflict) => void;
}

const RETRY_MS = 200;

export class Session {
  readonly #options: SessionOptions;
  readonly #deps: SessionDependencies;
  readonly #key: string;
  #epoch: number | undefined;
  #ttlId: string | undefined;
  #fenceCount = 0;
  #ended = false;
  #renewal: Promise<void> | undefined;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions, deps: SessionDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#key = deps.layout.session(options.host);
  }

  get instance(): string {
    return this.#options.instance;
  }

  get host(): string {
    return this.#options.host;
  }

  get held(): boolean {
    return this.#epoch !== undefined && !this.#ended;
  }

  /** The epoch, or undefined before the session is held. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /**
   * Tries until the session is held; etcd may be away for long.
   * @throws Conflict if a living daemon of another machine has this host id
   */
  async start(): Promise<void> {
    await this.#renew(() => this.#acquire());
    this.#scheduleKeepAlive();
  }

  /** Ends the session; the leases stay. */
  async stop(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#keepAlive);
    if (this.#ttlId !== undefined) await this.#deps.kv.ttlRevoke(this.#ttlId).catch(() => {});
  }

  /** The condition of every write. @throws StoreUnavailable before the session is held */
  fence(epoch: number): Compare {
    return { test: 'modRevision', key: this.#key, equals: epoch };
  }

  /** What a fenced transaction reads when its fence did not hold, for {@link fenceBroken}. */
  get fenceRead(): Operation {
    return { do: 'get', range: { key: this.#key } };
  }

  /**
   * A transaction found the fence broken: finds out why and mends it.
   * @param sent the epoch that the transaction compared
   * @param seen the session key as the transaction read it
   */
  async fenceBroken(sent: number, seen: KeyValue | undefined): Promise<void> {
    if (this.#epoch !== sent) return;
    if (seen === undefined) return this.#renew(() => this.#acquire());
    this.#checkMine(this.#decode(seen));
    // Lower: etcd was restored from a backup. The epoch is made anew, or the fence would never hold again.
    if (seen.modRevision < sent) return this.#renew(() => this.#move());
    this.#epoch = seen.modRevision;
  }

  /** Moves the epoch, so that no request sent under `epoch` can be executed any more. Tries until it is done. */
  async bump(epoch: number): Promise<void> {
    if (this.#epoch !== epoch) return;
    await this.#renew(() => this.#move());
  }

  /** One renewal at a time; every caller waits for the one under way. */
  #renew(attempt: () => Promise<boolean>): Promise<void> {
    this.#renewal ??= this.#until(attempt).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** @throws what `attempt` does not get over at the start; later only the end of the session, for nobody would notice */
  async #until(attempt: () => Promise<boolean>): Promise<void> {
    let told = false;
    while (!this.#ended) {
      try {
        if (await attempt()) return;
      } catch (error) {
        const away = error instanceof StoreUnavailable;
        if (this.#ended || (!away && this.#epoch === undefined)) throw error;
        if (!told && away) this.#deps.logger.warn('etcd does not answer, the session waits', { err: error });
        if (!told && !away)
          this.#deps.logger.error('the session cannot be renewed and is tried again', { err: error });
        told = true;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    throw new StoreUnavailable('the daemon is stopping');
  }

  /** Takes the session: a free one, or one of a dead daemon of this machine. */
  async #acquire(): Promise<boolean> {
    const { kv, layout } = this.#deps;
    const mine = await this.#read();
    if (
      mine !== undefined &&
      this.#decode(mine).instance === this.instance &&
      (this.#epoch ?? 0) < mine.modRevision
    ) {
      // An earlier try of ours was executed although its answer was lost.
      return this.#adopt(mine.modRevision);
    }
    if (mine !== undefined) this.#checkTakeover(this.#decode(mine));
    const ttlId = await kv.ttlGrant(this.#options.ttlSeconds);
    const free: Compare =
      mine === undefined
        ? { test: 'absent', key: this.#key }
        : { test: 'modRevision', key: this.#key, equals: mine.modRevision };
    const hostKey = layout.host(this.host);
    const registration: Operation = {
      do: 'txn',
      txn: {
        compare: [{ test: 'absent', key: hostKey }],
        success: [{ do: 'put', key: hostKey, value: JSON.stringify(this.#hostValue()) }],
      },
    };
    const put: Operation = { do: 'put', key: this.#key, value: this.#value(), ttlId };
    // Noted before: should the answer be lost, this is the TTL that the key hangs on.
    this.#ttlId = ttlId;
    const result = await kv.txn({ compare: [free], success: [put, registration] });
    return result.succeeded && this.#adopt(result.revision);
  }

  async #move(): Promise<boolean> {
    const seen = await this.#read();
    if (seen === undefined) return this.#acquire();
    this.#checkMine(this.#decode(seen));
    const ttl = this.#ttlId === undefined ? {} : { ttlId: this.#ttlId };
    try {
      const result = await this.#deps.kv.txn({
        compare: [{ test: 'modRevision', key: this.#key, equals: seen.modRevision }],
        success: [{ do: 'put', key: this.#key, value: this.#value(), ...ttl }],
      });
      return result.succeeded && this.#adopt(result.revision);
    } catch (error) {
      // The TTL is gone, and the key hangs on another one.
      if (error instanceof NotFound) return this.#acquire();
      throw error;
    }
  }

  #adopt(revision: number): boolean {
    this.#epoch = revision;
    return true;
  }

  async #read(): Promise<KeyValue | undefined> {
    const { kvs } = await this.#deps.kv.range({ key: this.#key });
    return kvs[0];
  }

  #scheduleKeepAlive(): void {
    if (this.#ended) return;
    const everyMs = (this.#options.ttlSeconds * 1000) / 3;
    this.#keepAlive = setTimeout(() => {
      void this.#keepAliveOnce().finally(() => this.#scheduleKeepAlive());
    }, everyMs);
    this.#keepAlive.unref();
  }

  async #keepAliveOnce(): Promise<void> {
    try {
      const left = this.#ttlId === undefined ? 0 : await this.#deps.kv.ttlKeepAlive(this.#ttlId);
      if (left === 0 && !this.#ended) await this.#renew(() => this.#acquire());
    } catch (error) {
      if (error instanceof Conflict || this.#ended) return;
      if (!(error instanceof StoreUnavailable))
        this.#deps.logger.error('the session cannot be kept alive', { err: error });
    }
  }

  #checkTakeover(other: SessionValue): void {
    if (other.machineId === this.#options.machineId && this.#epoch === undefined) return;
    if (other.instance === this.instance) return;
    this.#superseded(other);
  }

  #checkMine(other: SessionValue): void {
    if (other.instance !== this.instance) this.#superseded(other);
  }

  #superseded(other: SessionValue): never {
    const reason = new Conflict(
      `host id "${this.host}" is held by another living daemon (${other.hostname}, machine ${other.machineId}, ` +
        `pid ${other.pid}): give one of the two another host.name`,
    );
    if (!this.#ended) {
      this.#ended = true;
      clearTimeout(this.#keepAlive);
      this.#deps.onSuperseded(reason);
    }
    throw reason;
  }

  #decode(kv: KeyValue): SessionValue {
    return decode(sessionSchema, kv.key, kv.value);
  }

  #value(): string {
    const { instance, machineId, bootId, hostname } = this.#options;
    this.#fenceCount += 1;
    const value: SessionValue = {
      v: 1,
      instance,
      machineId,
      bootId,
      hostname,
      pid: process.pid,
      fence: this.#fenceCount,
      at: this.#deps.clock.wall(),
    };
    return JSON.stringify(value);
  }

  #hostValue(): HostValue {
    const { machineId, hostname, version } = this.#options;
    return { v: 1, machineId, hostname, version, firstSeenAt: this.#deps.clock.wall() };
  }
}
