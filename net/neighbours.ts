/**
 * The neighbour table (ARP, ND) of a link in a sandbox: puts planned PERMANENT entries there. Must not decide which
 * (links/arp-preload.ts does).
 *
 * INVARIANTS
 * - A container that starts while a table is written waits for some thousand entries (2 ms) and not for the table: the
 *   worker makes way. One table is written at a time, and one that a start waits for goes before it.
 * - No entry that is planned is ever taken away to be written again; what stands right already, REPLACE leaves alone.
 * - The caller lets one `load` of a link end before it asks for another with a different plan.
 */
import PQueue from 'p-queue';
import { FIRST, type KernelWorker, LAST, NEXT } from './kernel-worker.ts';
import type { NeighbourDifference } from './neighbour-comparison.ts';
import {
  EMPTY_PLAN,
  entriesOf,
  type NeighbourPlan,
  type NeighbourRun,
  runsAfter,
  sampleOf,
} from './neighbour-plan.ts';
import type { NeighbourTarget, NeighbourWritten } from './neighbour-table.ts';
import { kernelError } from './rtnetlink/errno.ts';
import type { NeighbourVerb } from './rtnetlink/neighbour.ts';

export interface NeighbourLoading {
  /** A container's start waits for it. Default false. */
  readonly first?: boolean;
  /**
   * What is looked at before anything is written.
   * - `sample` (default): some entries from all over the plan. If all stand, nothing is written; else every entry is,
   *   which costs less than finding out which are missing. What the kernel wipes it wipes whole.
   * - `none`: everything is written. For a link that has just arrived.
   * - `all`: the whole table. What is missing or wrong is written, and entries of ours that are not planned are taken
   *   away. For a plan that has changed, and as a thorough look at long intervals: it reads the tables of all sandboxes.
   */
  readonly look?: 'sample' | 'none' | 'all';
}

export interface NeighbourOutcome {
  /** Planned entries that stand now; 0 if sandbox or link are gone. */
  readonly entries: number;
  readonly wrote: number;
  /** Only with `look: 'all'`. */
  readonly removed: number;
}

export interface NeighbourPort {
  /**
   * Puts a plan in force. Idempotent; a sandbox or link that is gone is no error.
   * @throws KernelError for entries that the kernel refused, after all others have been written; InternalError if the
   *   worker died meanwhile (do it again)
   */
  load(target: NeighbourTarget, plan: NeighbourPlan, options?: NeighbourLoading): Promise<NeighbourOutcome>;
  /**
   * Takes away all entries of ours. Idempotent; a sandbox or link that is gone is no error.
   * @throws as `load`
   */
  clear(target: NeighbourTarget): Promise<NeighbourOutcome>;
  /**
   * PERMANENT entries of the link, whoever made them; one or two more or less while tables of other sandboxes change.
   * Reads all tables, so not for the way of a container.
   */
  count(target: NeighbourTarget): Promise<number>;
}

/** A kernel that has wiped a table has wiped all of it; so few are enough. */
const SAMPLE_ENTRIES = 8;
/** Readings of a table that changes all the time. */
const COMPARISONS = 3;

const GONE: NeighbourOutcome = { entries: 0, wrote: 0, removed: 0 };

let lastComparison = 0;

export class KernelNeighbours implements NeighbourPort {
  readonly #worker: KernelWorker;
  readonly #first = new PQueue({ concurrency: 1 });
  readonly #next = new PQueue({ concurrency: 1 });

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  load(
    target: NeighbourTarget,
    plan: NeighbourPlan,
    { first = false, look = 'sample' }: NeighbourLoading = {},
  ): Promise<NeighbourOutcome> {
    const priority = first ? FIRST : NEXT;
    return this.#inTurn(priority, async () => {
      if (look === 'all') return await this.#mend(target, plan, priority);
      const entries = entriesOf(plan.runs);
      if (look === 'sample' && (await this.#stands(target, plan, priority))) {
        return { entries, wrote: 0, removed: 0 };
      }
      const there = await this.#write(target, 'replace', plan.runs, priority);
      return there ? { entries, wrote: entries, removed: 0 } : GONE;
    });
  }

  clear(target: NeighbourTarget): Promise<NeighbourOutcome> {
    return this.load(target, EMPTY_PLAN, { look: 'all' });
  }

  async count(target: NeighbourTarget): Promise<number> {
    const found = await this.#inTurn(NEXT, () => this.#compare(target, EMPTY_PLAN, LAST));
    return found?.permanent ?? 0;
  }

  #inTurn<T>(priority: number, work: () => Promise<T>): Promise<T> {
    return (priority === FIRST ? this.#first : this.#next).add(work);
  }

  async #stands(target: NeighbourTarget, { runs }: NeighbourPlan, priority: number): Promise<boolean> {
    const sample = sampleOf(runs, SAMPLE_ENTRIES);
    return (await this.#worker.request('neighboursStand', { ...target, runs: sample }, priority)) === true;
  }

  async #mend(target: NeighbourTarget, plan: NeighbourPlan, priority: number): Promise<NeighbourOutcome> {
    const difference = await this.#compare(target, plan, priority);
    if (difference === undefined) return GONE;
    const { missing, unplanned } = difference;
    const there =
      (await this.#write(target, 'delete', unplanned, priority)) &&
      (await this.#write(target, 'replace', missing, priority));
    if (!there) return GONE;
    return { entries: entriesOf(plan.runs), wrote: entriesOf(missing), removed: entriesOf(unplanned) };
  }

  /**
   * A reading that was interrupted by changes is done again some times, then taken: what it missed is written once
   * more, which does no harm.
   * @returns undefined if the sandbox is gone
   */
  async #compare(
    target: NeighbourTarget,
    { runs }: NeighbourPlan,
    priority: number,
  ): Promise<NeighbourDifference | undefined> {
    for (let tries = 1; ; tries++) {
      const id = ++lastComparison;
      const start = { ...target, id, priority, runs };
      let found = await this.#worker.request('neighboursCompare', start, priority);
      while (found === 'continued') {
        found = await this.#worker.request('neighboursCompareOn', { id, priority }, priority);
      }
      if (found?.interrupted !== true || tries === COMPARISONS) return found;
    }
  }

  /** @returns false if sandbox or link are gone */
  async #write(
    target: NeighbourTarget,
    verb: NeighbourVerb,
    runs: readonly NeighbourRun[],
    priority: number,
  ): Promise<boolean> {
    const refusals: NeighbourWritten[] = [];
    for (let rest = runs; rest.length > 0; ) {
      const writing = { ...target, verb, priority, runs: rest };
      const written = await this.#worker.request('neighboursWrite', writing, priority);
      if (written === undefined || written.gone) return false;
      if (written.refused > 0) refusals.push(written);
      rest = runsAfter(rest, written.done);
    }
    const first = refusals[0]?.first;
    if (first === undefined) return true;
    const count = refusals.reduce((sum, { refused }) => sum + refused, 0);
    const what = `${verb} ${count} of ${entriesOf(runs)} neighbours (the first is ${first.address})`;
    throw kernelError(what, first.errno, first.kernelText);
  }
}
