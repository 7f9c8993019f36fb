/**
 * Group commit: every change of leases, pools and holds is a small independent transaction (a step); all steps
 * that wait are sent to etcd as ONE fenced transaction of nested ones. Without load a step is sent alone and at
 * once, there is no artificial delay.
 *
 * INVARIANTS
 * - A key has at most one step in flight (etcd refuses a transaction that puts a key twice, and order matters):
 *   later steps on the same lock key wait.
 * - Nothing is sent under an epoch with an unknown outcome: first the session is bumped. Then the same step is
 *   sent again; steps are written so that the second copy recognises what the first did.
 * - A step that etcd refuses (a TTL that is gone) fails alone: its batch is sent again in single steps.
 * - Each request has its own timer, independent of what the pump waits for. A step whose caller has gone is
 *   undone exactly (`undo`), and its key stays locked until that is done.
 *
 * Bounds: etcd's default of 128 operations a transaction, counted per nesting level
 * (etcd server/etcdserver/api/v3rpc/key.go, checkTxnRequest).
 */
import { DriverError, InternalError, StoreUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { KvPort, TransactionResult } from '../../store/kv.ts';
import type { Session } from './session.ts';
import type { Step, StepResult } from './step.ts';
import { undoingOf, type Waiting, waitingOf } from './waiting-step.ts';

export interface CommitterOptions {
  /** Steps in one transaction. */
  readonly batchSize?: number;
  /** Transactions in flight at once. */
  readonly parallel?: number;
  readonly txnTimeoutMs?: number;
}

export interface CommitterDependencies {
  readonly kv: KvPort;
  readonly session: Session;
  readonly logger: Logger;
}

export class Committer {
  readonly #batchSize: number;
  readonly #parallel: number;
  readonly #txnTimeoutMs: number;
  readonly #deps: CommitterDependencies;
  #queue: Waiting[] = [];
  readonly #locked = new Set<string>();
  #inFlight = 0;
  /** A look at the queue is due in this turn of the event loop. */
  #pumping = false;
  #mending: Promise<unknown> | undefined;
  #closed = false;
  /** Why etcd could not be used, since it last could. */
  #trouble: string | undefined;

  constructor(options: CommitterOptions, deps: CommitterDependencies) {
    this.#batchSize = options.batchSize ?? 120;
    this.#parallel = options.parallel ?? 2;
    this.#txnTimeoutMs = options.txnTimeoutMs ?? 1000;
    this.#deps = deps;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Something on this key is queued or in flight. */
  busy(lockKey: string): boolean {
    return this.#locked.has(lockKey) || this.#queue.some((waiting) => waiting.step.lockKey === lockKey);
  }

  /**
   * @returns the outcome, exact even if answers were lost meanwhile
   * @throws StoreUnavailable when the deadline passes first (what was done then is undone); other DriverErrors
   *   if etcd refuses
   */
  submit(step: Step): Promise<StepResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(stopping());
        return;
      }
      const waiting = waitingOf(step, resolve, reject);
      if (step.deadline !== undefined) {
        waiting.timer = setTimeout(() => this.#expire(waiting), step.deadline.leftMs());
      }
      this.#queue.push(waiting);
      this.#pumpSoon();
    });
  }

  /** Sends what can be sent. Called by itself; from outside only when the session has just been taken. */
  pump(): void {
    const epoch = this.#deps.session.epoch;
    while (
      !this.#closed &&
      epoch !== undefined &&
      this.#mending === undefined &&
      this.#inFlight < this.#parallel
    ) {
      const batch = this.#take();
      if (batch.length === 0) return;
      this.#inFlight += 1;
      void this.#send(batch, epoch).finally(() => {
        this.#inFlight -= 1;
        this.#pumpSoon();
      });
    }
  }

  /**
   * After the code that runs now and all promises that are settled by then: an answer of etcd wakes many callers at
   * once, and what they ask next goes out together instead of the first alone and the others behind it.
   */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    process.nextTick(() => {
      this.#pumping = false;
      this.pump();
    });
  }

  /** Fails what waits; used at the end of the daemon. */
  close(): void {
    this.#closed = true;
    for (const waiting of this.#queue.splice(0)) {
      this.#reject(waiting, stopping());
    }
  }

  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    const blocked = new Set<string>();
    for (const waiting of this.#queue) {
      const key = waiting.step.lockKey;
      const room = waiting.alone ? batch.length === 0 : batch.length < this.#batchSize;
      if (room && batch[0]?.alone !== true && !this.#locked.has(key) && !blocked.has(key)) {
        this.#locked.add(key);
        batch.push(waiting);
      } else {
        blocked.add(key);
        later.push(waiting);
      }
    }
    this.#queue = later;
    return batch;
  }

  async #send(batch: readonly Waiting[], epoch: number): Promise<void> {
    const { kv, session } = this.#deps;
    let result: TransactionResult;
    try {
      result = await kv.txn(
        {
          compare: [session.fence(epoch)],
          success: batch.map(({ step }) => ({ do: 'txn', txn: step.txn })),
          failure: [session.fenceRead],
        },
        { timeoutMs: this.#txnTimeoutMs },
      );
    } catch (error) {
      this.#failed(batch, epoch, error);
      return;
    }
    this.#trouble = undefined;
    if (!result.succeeded) {
      const read = result.results[0];
      const seen = read?.did === 'get' ? read.kvs[0] : undefined;
      this.#again(batch);
      this.#mend(session.fenceBroken(epoch, seen));
      return;
    }
    batch.forEach((waiting, index) => {
      const sub = result.results[index];
      if (sub?.did === 'txn') this.#settle(waiting, { ...sub.result, revision: result.revision });
      else
        this.#reject(
          waiting,
          new InternalError('etcd answered a transaction with fewer results than it has parts'),
        );
    });
  }

  #failed(batch: readonly Waiting[], epoch: number, error: unknown): void {
    if (error instanceof StoreUnavailable) {
      this.#trouble = error.message;
      if (error.outcomeUnknown) {
        for (const waiting of batch) waiting.uncertain = true;
        this.#again(batch);
        this.#mend(this.#deps.session.bump(epoch));
      } else {
        this.#again(batch);
        this.#mend(new Promise((resolve) => setTimeout(resolve, 100)));
      }
      return;
    }
    // etcd refused the transaction as a whole and executed nothing: because of one step, maybe.
    if (batch.length > 1) {
      for (const waiting of batch) waiting.alone = true;
      this.#again(batch);
      return;
    }
    const refusal = error instanceof DriverError ? error : new InternalError(String(error), { cause: error });
    for (const waiting of batch) this.#reject(waiting, refusal);
  }

  /** Back to the head of the queue, in order; their keys are free again. */
  #again(batch: readonly Waiting[]): void {
    const stay: Waiting[] = [];
    for (const waiting of batch) {
      this.#locked.delete(waiting.step.lockKey);
      const next = waiting.abandoned ? undoingOf(waiting) : waiting;
      if (next !== undefined) stay.push(next);
    }
    this.#queue.unshift(...stay);
    if (this.#closed) this.close();
  }

  /** Nothing is sent before all that is being mended is mended: the other transaction in flight may fail, too. */
  #mend(work: Promise<void>): void {
    const mending: Promise<unknown> = Promise.all([this.#mending, work])
      .catch((error: unknown) => {
        // The session mends itself for as long as it lives, so it has ended, and the daemon ends with it.
        this.#deps.logger.error('the session cannot be mended', { err: error });
        this.close();
      })
      .finally(() => {
        if (this.#mending === mending) this.#mending = undefined;
        this.pump();
      });
    this.#mending = mending;
  }

  #settle(waiting: Waiting, result: StepResult): void {
    this.#locked.delete(waiting.step.lockKey);
    clearTimeout(waiting.timer);
    if (!waiting.abandoned) {
      waiting.resolve(result);
      return;
    }
    // An earlier copy may have been executed, which is why this one was not.
    waiting.uncertain ||= result.succeeded;
    const undoing = undoingOf(waiting);
    if (undoing !== undefined) this.#queue.unshift(undoing);
  }

  #expire(waiting: Waiting): void {
    waiting.abandoned = true;
    const index = this.#queue.indexOf(waiting);
    if (index >= 0) {
      const undoing = undoingOf(waiting);
      this.#queue.splice(index, 1, ...(undoing === undefined ? [] : [undoing]));
    }
    const maybe = index < 0 || waiting.uncertain;
    const trouble =
      this.#trouble ?? 'etcd does not answer in time: check that etcd runs and is reachable (lanius doctor)';
    const outcome = maybe ? 'the outcome is unknown and will be undone' : 'nothing was changed';
    waiting.reject(new StoreUnavailable(`${trouble}; ${outcome}`, { outcomeUnknown: maybe }));
  }

  #reject(waiting: Waiting, error: DriverError): void {
    this.#locked.delete(waiting.step.lockKey);
    clearTimeout(waiting.timer);
    waiting.reject(error);
  }
}

function stopping(): StoreUnavailable {
  return new StoreUnavailable('the daemon is stopping: nothing was changed');
}
