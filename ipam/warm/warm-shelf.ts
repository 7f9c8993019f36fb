/** The stock for one sort of request: a pool, and where in it the request may take from. */
import type { Cidr } from '../../core/ip.ts';
import { type Choice, sizeOf } from '../address/choice.ts';
import type { HeldLease } from '../lease/lease-table.ts';

/** First pause after the pool was found short; doubled each time, for two hosts must not fill and empty it in turn. */
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 16 * 60_000;

export class WarmShelf {
  readonly subnet: Cidr;
  readonly choice: Choice;
  readonly total: bigint;
  /** The oldest first. */
  readonly stock: HeldLease[] = [];
  /** As decided at the last check; undefined before the first. */
  target: number | undefined;
  /** These are of the monotonic clock. */
  askedAtMs: number;
  checkedAtMs = Number.NEGATIVE_INFINITY;
  pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** Somebody fills or empties it. */
  tended = false;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(subnet: Cidr, choice: Choice, nowMs: number) {
    this.subnet = subnet;
    this.choice = choice;
    this.total = sizeOf(choice.own);
    this.askedAtMs = nowMs;
  }

  /** How many to take now. */
  missing(nowMs: number): number {
    if (nowMs < this.pausedUntilMs) return 0;
    return Math.max(0, (this.target ?? 0) - this.stock.length);
  }

  /** The pool needs its addresses for requests. */
  pause(nowMs: number): void {
    this.target = 0;
    this.pausedUntilMs = nowMs + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  /** It was filled, and the pool was not short at the next check. */
  calm(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
  }
}

/** Choices of the same ranges share a shelf. */
export function shelfKey({ family, base, prefixLength }: Cidr, { own }: Choice): string {
  let key = `${family} ${base}/${prefixLength}`;
  for (const { first, last } of own) key += ` ${first}-${last}`;
  return key;
}
