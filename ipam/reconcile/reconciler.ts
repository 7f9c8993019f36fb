/**
 * Reconciliation, the running part: leases, endpoints and links of this host that nothing uses are freed. Two looks
 * some seconds apart must agree, revisions must not have moved, and every source must answer; any error means keep.
 *
 * Runs at start (as soon as the engine answers), when the engine comes back or its event stream was broken, when etcd
 * may have lost something, on a timer and by command. Runs never overlap: a request during a run is served by the
 * next one.
 *
 * After a return it runs again and again for a while: a call of the engine that a crash cut off is repeated up to 8 s
 * later, then without its parameters, so that it must be refused; and calls before it may have been given up. Only
 * when that is over has the engine forgotten what they meant to release, and nobody asks again.
 */
import PQueue from 'p-queue';
import { deadlineAfter } from '../../core/deadline.ts';
import { toDriverError } from '../../core/errors.ts';
import type { Decision, ReconcileReport, Reconciling } from '../inventory.ts';
import { type ActDependencies, actOn } from './reconcile-acts.ts';
import { lookAround } from './reconcile-look.ts';
import { agreed, isChange, type PlanContext, plan, type Verdict } from './reconcile-plan.ts';

/** How long after a return something may still be forgotten: the engine repeats a call for 15 s in all. */
const UNSETTLED_MS = 15_000;
/** Pause between two runs in that time. */
const UNSETTLED_INTERVAL_MS = 1000;

export interface ReconcilerOptions {
  readonly instance: string;
  readonly lookGapMs: number;
  readonly graceMs: number;
  readonly intervalMs: number;
  readonly engineTimeoutMs?: number;
}

export interface ReconcilerDependencies extends ActDependencies {
  /** Says to all hosts which MACs of this host do not follow from addresses. Never throws. */
  readonly ownMacs?: { sweep(): Promise<void> };
}

export class Reconciler implements Reconciling {
  readonly #options: ReconcilerOptions;
  readonly #deps: ReconcilerDependencies;
  readonly #runs = new PQueue({ concurrency: 1 });
  readonly #startedAtMs: number;
  #engineLostAtMs: number | undefined;
  /** When the engine came back, or etcd was found changed; of the monotonic clock. */
  #unsettledSinceMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last: ReconcileReport | undefined;
  #closed = false;

  constructor(options: ReconcilerOptions, deps: ReconcilerDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#startedAtMs = deps.clock.wall();
  }

  get last(): ReconcileReport | undefined {
    return this.#last;
  }

  /** The engine serves its API (again). */
  engineReturned(): void {
    this.#unsettled('engine return');
  }

  /** The engine is gone; whatever it had asked for before is forgotten by it. */
  engineLost(): void {
    this.#engineLostAtMs = this.#deps.clock.wall();
  }

  /** etcd may not have any more what it had: it was restored from a backup, or this host was thought to be dead. */
  storeChanged(trigger: string): void {
    this.#unsettled(trigger);
  }

  run(trigger: string, options: { readonly dryRun: boolean }): Promise<ReconcileReport> {
    return this.#runs.add(() => this.#run(trigger, options.dryRun));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#runs.onIdle();
  }

  #unsettled(trigger: string): void {
    this.#unsettledSinceMs = this.#deps.clock.now();
    this.#soon(trigger);
  }

  #soon(trigger: string): void {
    if (this.#closed || this.#runs.size > 0) return;
    void this.run(trigger, { dryRun: false });
  }

  #scheduleNext(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const sinceMs = this.#unsettledSinceMs;
    const unsettled = sinceMs !== undefined && this.#deps.clock.now() - sinceMs < UNSETTLED_MS;
    // Jitter: hosts that started together do not look together for ever.
    const jitter = 0.75 + Math.random() / 2;
    const { intervalMs } = this.#options;
    const waitMs = unsettled ? Math.min(UNSETTLED_INTERVAL_MS, intervalMs) : intervalMs * jitter;
    this.#timer = setTimeout(() => this.#soon('timer'), waitMs);
    this.#timer.unref();
  }

  async #run(trigger: string, dryRun: boolean): Promise<ReconcileReport> {
    const { clock, logger } = this.#deps;
    const startedAt = clock.now();
    let problem: string | undefined;
    let decisions: Verdict[] = [];
    try {
      const { look, sound } = await this.#look();
      const first = plan(look, this.#context());
      decisions = first;
      if (first.some(isChange)) {
        await new Promise((resolve) => setTimeout(resolve, this.#options.lookGapMs));
        const second = plan((await this.#look(sound)).look, this.#context());
        const sure = new Set(agreed(first, second));
        decisions = second.map((verdict) => (sure.has(verdict) ? verdict : asYetUnsure(verdict)));
        if (!dryRun && !this.#closed) await actOn([...sure].filter(isChange), this.#deps);
      }
      if (!dryRun && !this.#closed) await this.#deps.claimBook.sweep(deadlineAfter(5000, clock));
      if (!dryRun && !this.#closed) await this.#deps.ownMacs?.sweep();
    } catch (error) {
      problem = toDriverError(error).message;
      logger.warn('reconciliation changed nothing more: a source did not answer', {
        err: error,
        outcome: 'kept',
      });
    }
    this.#alarm(decisions);
    const durationMs = Math.round(clock.now() - startedAt);
    const report: ReconcileReport = {
      at: new Date(clock.wall()).toISOString(),
      trigger,
      dryRun,
      ...(problem === undefined ? {} : { problem }),
      decisions: decisions.map(({ kind, object, action, reason }) => ({ kind, object, action, reason })),
      durationMs,
    };
    this.#last = report;
    const freed = decisions.filter(({ action }) => action === 'free' || action === 'delete').length;
    logger[freed > 0 ? 'info' : 'debug']('reconciliation ended', { trigger, durationMs, freed, dryRun });
    this.#scheduleNext();
    return report;
  }

  #look(trusted?: ReadonlySet<string>): ReturnType<typeof lookAround> {
    return lookAround(this.#deps, this.#options.engineTimeoutMs ?? 5000, trusted);
  }

  /** In every run, for as long as it is so: two containers may have one address. */
  #alarm(decisions: readonly Decision[]): void {
    for (const { action, object, reason } of decisions) {
      if (action === 'conflict')
        this.#deps.logger.error('an address is in use here that etcd gives to somebody else', {
          address: object,
          reason,
        });
    }
  }

  #context(): PlanContext {
    return {
      instance: this.#options.instance,
      graceMs: this.#options.graceMs,
      engineLostAtMs: this.#engineLostAtMs,
      startedAtMs: this.#startedAtMs,
    };
  }
}

/** The two looks do not agree: nothing is done, and the next run looks again. */
function asYetUnsure(verdict: Verdict): Verdict {
  if (!isChange(verdict)) return verdict;
  return { ...verdict, action: 'wait', reason: `${verdict.reason}; the look before saw it otherwise` };
}
