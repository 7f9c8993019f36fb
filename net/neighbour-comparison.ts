/**
 * Comparing the whole neighbour table of a link with a plan: what is missing or wrong, and what of ours is not planned
 * (any more). The kernel walks the tables of all sandboxes for it, so the reading stops when another request waits, and
 * goes on with the next one; in between the socket stays open here.
 *
 * INVARIANT: a comparison that ends, in whatever way, closes its socket; one that is begun must be continued to its end.
 */
import { InternalError } from '../core/errors.ts';
import { compareRuns, entriesOf, type NeighbourRun, sampleOf } from './neighbour-plan.ts';
import { type NeighbourTarget, neighboursStand } from './neighbour-table.ts';
import { openSocketIn } from './rtnetlink/namespace.ts';
import {
  type NeighbourEntry,
  neighbourDumpPayload,
  readNeighbour,
  standsAs,
  upperOf,
} from './rtnetlink/neighbour.ts';
import type { NetlinkRequest, RtnetlinkSocket } from './rtnetlink/socket.ts';
import { RTM_GETNEIGH } from './rtnetlink/uapi.ts';
import type { WaitingRequests } from './waiting-requests.ts';

export interface ComparisonTurn {
  /** Of the caller, unique. */
  readonly id: number;
  /** It is made way for what has this priority or a higher one. */
  readonly priority: number;
}

export interface ComparisonStart extends NeighbourTarget, ComparisonTurn {
  readonly runs: readonly NeighbourRun[];
}

/** A finished comparison. */
export interface NeighbourDifference {
  /** PERMANENT entries of the link, whoever made them. */
  readonly permanent: number;
  /** Planned, and not there or not so. */
  readonly missing: readonly NeighbourRun[];
  /** Ours, and not planned; their MACs are not told. */
  readonly unplanned: readonly NeighbourRun[];
  /** The table changed meanwhile: an entry that was not seen may be there, or the other way round. */
  readonly interrupted: boolean;
}

/**
 * Up to so many missing entries are looked for one by one. The kernel has one table for all sandboxes and remembers the
 * place of a reading by number, so a reading can pass over an entry while the table of another sandbox changes.
 */
const MOST_LOOKED_FOR = 64;

/** Under way, by id. */
const comparisons = new Map<number, NeighbourComparison>();

/** @returns undefined if the sandbox is gone, `continued` if `neighboursCompareOn` must follow */
export function neighboursCompare(
  { id, priority, namespacePath, linkIndex, runs }: ComparisonStart,
  waiting: WaitingRequests,
): NeighbourDifference | 'continued' | undefined {
  const socket = openSocketIn(namespacePath);
  if (socket === undefined) return undefined;
  comparisons.set(id, new NeighbourComparison(socket, linkIndex, runs));
  return neighboursCompareOn({ id, priority }, waiting);
}

export function neighboursCompareOn(
  { id, priority }: ComparisonTurn,
  waiting: WaitingRequests,
): NeighbourDifference | 'continued' {
  const comparison = comparisons.get(id);
  if (comparison === undefined) {
    throw new InternalError('the comparison of a neighbour table was lost with its worker: begin anew');
  }
  let more = false;
  try {
    more = comparison.read(() => waiting.some(priority));
    return more ? 'continued' : comparison.difference();
  } finally {
    if (!more) {
      comparisons.delete(id);
      comparison.close();
    }
  }
}

class NeighbourComparison {
  readonly #socket: RtnetlinkSocket;
  readonly #linkIndex: number;
  readonly #runs: readonly NeighbourRun[];
  /** Number of the first address of each run. */
  readonly #starts: readonly number[];
  /** One byte for each planned address: 1 = it stands as planned. */
  readonly #stands: Uint8Array;
  /** Low 32 bits of what is ours and not planned, by their upper 96. */
  readonly #unplanned = new Map<string, number[]>();
  readonly #request: NetlinkRequest;
  #started = false;
  #permanent = 0;
  #interrupted = false;

  constructor(socket: RtnetlinkSocket, linkIndex: number, runs: readonly NeighbourRun[]) {
    this.#socket = socket;
    this.#linkIndex = linkIndex;
    this.#runs = runs;
    let start = 0;
    this.#starts = runs.map(({ first, last }) => {
      const own = start;
      start += last - first + 1;
      return own;
    });
    this.#stands = new Uint8Array(entriesOf(runs));
    const payload = neighbourDumpPayload(linkIndex);
    this.#request = { type: RTM_GETNEIGH, flags: 0, payload, operation: 'read the neighbours of a link' };
  }

  close(): void {
    this.#socket.close();
  }

  /** @returns whether there is more, because it must stop */
  read(mustStop: () => boolean): boolean {
    if (!this.#started) this.#socket.dumpStart(this.#request);
    this.#started = true;
    do {
      const { more, interrupted } = this.#socket.dumpNext(this.#request, (bytes, at, end) => {
        const found = readNeighbour(bytes, at, end);
        if (found?.linkIndex === this.#linkIndex) this.#note(found);
      });
      this.#interrupted ||= interrupted;
      if (!more) return false;
    } while (!mustStop());
    return true;
  }

  difference(): NeighbourDifference {
    const unseen = this.#unseen();
    const missing = entriesOf(unseen) > MOST_LOOKED_FOR ? unseen : this.#withoutStanding(unseen);
    return {
      permanent: this.#permanent,
      missing,
      unplanned: [...this.#unplanned].flatMap(([upper, lows]) => runsOf(upper, lows)).sort(compareRuns),
      interrupted: this.#interrupted,
    };
  }

  #note(found: NeighbourEntry): void {
    if (found.permanent) this.#permanent++;
    const upper = upperOf(found);
    const index = this.#runAt(found, upper);
    const run = this.#runs[index];
    if (run !== undefined) {
      if (standsAs(found, run)) this.#stands[(this.#starts[index] ?? 0) + found.low - run.first] = 1;
    } else if (isOurs(found)) {
      const lows = this.#unplanned.get(upper);
      if (lows === undefined) this.#unplanned.set(upper, [found.low]);
      else lows.push(found.low);
    }
  }

  /** Index of the run that has the address, or -1. */
  #runAt({ family, low }: NeighbourEntry, upper: string): number {
    const runs = this.#runs;
    let [from, to] = [0, runs.length - 1];
    while (from <= to) {
      const middle = (from + to) >>> 1;
      const run = runs[middle];
      if (run === undefined) return -1;
      if (run.family < family || (run.family === family && run.upper < upper)) from = middle + 1;
      else if (run.family !== family || run.upper !== upper || run.first > low) to = middle - 1;
      else if (run.last < low) from = middle + 1;
      else return middle;
    }
    return -1;
  }

  #withoutStanding(unseen: readonly NeighbourRun[]): NeighbourRun[] {
    return unseen
      .flatMap((run) => sampleOf([run], MOST_LOOKED_FOR))
      .filter((one) => !neighboursStand(this.#socket, { linkIndex: this.#linkIndex, runs: [one] }));
  }

  #unseen(): NeighbourRun[] {
    return this.#runs.flatMap((run, index) => {
      const start = this.#starts[index] ?? 0;
      const size = run.last - run.first + 1;
      const unseen: NeighbourRun[] = [];
      for (let from = 0; from < size; ) {
        // Relative to the run: the next address that does not stand, and the next that does.
        const first = this.#next(0, start, from, size);
        if (first === size) break;
        from = this.#next(1, start, first, size);
        unseen.push({ ...run, first: run.first + first, last: run.first + from - 1 });
      }
      return unseen;
    });
  }

  #next(value: 0 | 1, start: number, from: number, size: number): number {
    const at = this.#stands.indexOf(value, start + from);
    return at < 0 || at >= start + size ? size : at - start;
  }
}

/** By its mark; kernels before 5.0 do not keep it, and there it is the MAC that says so. */
function isOurs({ ours, permanent, family, macHead, macTail, low }: NeighbourEntry): boolean {
  return permanent && (ours || (family === 4 && macTail === low && (macHead & 0x0300) === 0x0200));
}

function runsOf(upper: string, lows: readonly number[]): NeighbourRun[] {
  const runs: { first: number; last: number }[] = [];
  for (const low of [...lows].sort((a, b) => a - b)) {
    const before = runs.at(-1);
    if (before !== undefined && low <= before.last + 1) before.last = low;
    else runs.push({ first: low, last: low });
  }
  const family = upper === '' ? 4 : 6;
  return runs.map(({ first, last }) => ({ family, upper, first, last, macHead: 0, macXor: 0 }));
}
