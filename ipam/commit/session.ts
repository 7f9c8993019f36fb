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
 *
 * With each sign of life the session key is read: etcd restored from a backup shows itself by a revision that is lower
 * than one seen before, also on a host that writes nothing; and a second daemon by its value.
 */
import type { Clock } from '../../core/clock.ts';
import { Conflict, NotFound, StoreUnavailable } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import type { Logger } from '../../core/log.ts';
import type { Compare, KeyValue, KvPort, Operation } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, type SessionValue, sessionSchema } from '../../store/schema.ts';
import { heldByAnother, registrationOf, type SessionIdentity, sessionText } from './session-values.ts';

export interface SessionOptions extends SessionIdentity {
  readonly ttlSeconds: number;
}

export interface SessionDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Another daemon has this host id: this one must end. Called once. */
  readonly onSuperseded: (reason: Conflict) => void;
  /**
   * etcd may have lost what it had: it went back to an earlier revision, or this host's session was over and others
   * may have thought it dead. Called each time, with the reason.
   */
  readonly onStoreChanged?: (reason: 'etcd went back' | 'session taken anew') => void;
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
  /** No lower one may ever be seen again. */
  #newestRevision = 0;
  /** A session of this machine that is not ours is of a dead daemon: at the start, and where etcd went back to it. */
  #mayTakeOver = true;
  #provenAtMs: number | undefined;

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

  /** Undefined before the session is held. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** When the last sign of life that etcd has confirmed was sent, of the monotonic clock. */
  get provenAtMs(): number | undefined {
    return this.#provenAtMs;
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
    if (seen.modRevision < sent) {
      // The epoch is made anew, or the fence would never hold again.
      this.#wentBack();
      return this.#renew(() => this.#acquire());
    }
    this.#checkMine(readSession(seen));
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
    const { kv, layout, clock } = this.#deps;
    const mine = await this.#read();
    if (mine !== undefined) {
      const other = readSession(mine);
      // An earlier try of ours may have been executed although its answer was lost.
      if (other.instance === this.instance && (this.#epoch ?? 0) < mine.modRevision)
        return this.#adopt(mine.modRevision, mine.createRevision);
      this.#checkTakeover(other);
    }
    const sentAtMs = clock.now();
    const ttlId = await kv.ttlGrant(this.#options.ttlSeconds);
    const free: Compare =
      mine === undefined
        ? { test: 'absent', key: this.#key }
        : { test: 'modRevision', key: this.#key, equals: mine.modRevision };
    const hostKey = layout.host(this.host);
    const known = (await kv.range({ key: hostKey })).kvs[0];
    const registration = registrationOf(this.#options, hostKey, known, clock.wall());
    const alive = [layout.dead(this.host), layout.deadWait(this.host)].map(
      (key): Operation => ({ do: 'delete', range: { key } }),
    );
    const put: Operation = { do: 'put', key: this.#key, value: this.#text(), ttlId };
    // Noted before: should the answer be lost, this is the TTL that the key hangs on.
    this.#ttlId = ttlId;
    const result = await kv.txn({ compare: [free], success: [put, registration, ...alive] });
    if (!result.succeeded) return false;
    this.#provenAtMs = sentAtMs;
    return this.#adopt(result.revision, mine?.createRevision ?? result.revision);
  }

  async #move(): Promise<boolean> {
    const seen = await this.#read();
    if (seen === undefined || this.#mayTakeOver) return this.#acquire();
    this.#checkMine(readSession(seen));
    const ttl = this.#ttlId === undefined ? {} : { ttlId: this.#ttlId };
    failpoint('session.before-bump');
    try {
      const result = await this.#deps.kv.txn({
        compare: [{ test: 'modRevision', key: this.#key, equals: seen.modRevision }],
        success: [{ do: 'put', key: this.#key, value: this.#text(), ...ttl }],
      });
      failpoint('session.after-bump');
      return result.succeeded && this.#adopt(result.revision);
    } catch (error) {
      // The TTL is gone, and the key hangs on another one.
      if (error instanceof NotFound) return this.#acquire();
      throw error;
    }
  }

  #adopt(revision: number, createdAt = 0): boolean {
    const anew = this.#epoch !== undefined && !this.#mayTakeOver && createdAt > this.#epoch;
    this.#epoch = revision;
    this.#newestRevision = Math.max(this.#newestRevision, revision);
    this.#mayTakeOver = false;
    if (anew) this.#deps.onStoreChanged?.('session taken anew');
    return true;
  }

  async #read(): Promise<KeyValue | undefined> {
    // As it was when the question was sent: answers may overtake each other.
    const newest = this.#newestRevision;
    const { kvs, revision } = await this.#deps.kv.range({ key: this.#key });
    if (revision < newest && newest === this.#newestRevision) this.#wentBack();
    this.#newestRevision = Math.max(this.#newestRevision, revision);
    return kvs[0];
  }

  /** Restored from a backup: what was written since is lost. */
  #wentBack(): void {
    if (this.#mayTakeOver || this.#ended) return;
    this.#newestRevision = 0;
    this.#mayTakeOver = true;
    this.#deps.logger.error('etcd went back to an earlier revision: it was restored from a backup');
    this.#deps.onStoreChanged?.('etcd went back');
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
    const sentAtMs = this.#deps.clock.now();
    try {
      const left = this.#ttlId === undefined ? 0 : await this.#deps.kv.ttlKeepAlive(this.#ttlId);
      if (left > 0) this.#provenAtMs = sentAtMs;
      if (left === 0 && !this.#ended) await this.#renew(() => this.#acquire());
      await this.#checkKey();
    } catch (error) {
      if (error instanceof Conflict || this.#ended) return;
      if (!(error instanceof StoreUnavailable))
        this.#deps.logger.error('the session cannot be kept alive', { err: error });
    }
  }

  /** Nobody else finds out on a host that writes nothing. */
  async #checkKey(): Promise<void> {
    const epoch = this.#epoch;
    if (epoch === undefined || this.#renewal !== undefined || this.#ended) return;
    const seen = await this.#read();
    if (this.#mayTakeOver) await this.#renew(() => this.#acquire());
    else await this.fenceBroken(epoch, seen);
  }

  #checkTakeover(other: SessionValue): void {
    if (other.machineId === this.#options.machineId && this.#mayTakeOver) return;
    if (other.instance === this.instance) return;
    this.#superseded(other);
  }

  #checkMine(other: SessionValue): void {
    if (other.instance !== this.instance) this.#superseded(other);
  }

  #superseded(other: SessionValue): never {
    const reason = heldByAnother(this.host, other);
    if (!this.#ended) {
      this.#ended = true;
      clearTimeout(this.#keepAlive);
      this.#deps.onSuperseded(reason);
    }
    throw reason;
  }

  #text(): string {
    this.#fenceCount += 1;
    return sessionText(this.#options, this.#fenceCount, this.#deps.clock.wall());
  }
}

function readSession(kv: KeyValue): SessionValue {
  return decode(sessionSchema, kv.key, kv.value);
}
