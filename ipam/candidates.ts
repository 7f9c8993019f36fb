/**
 * Guesses of free addresses, cheap and maybe stale: the transaction that makes the lease decides. A pool is cut
 * into segments of 256 addresses; one segment's keys are read (keys only, from the member's own data) when its
 * guesses are used up. No watch, no scan of the pool.
 *
 * Each host starts at a segment and offset of its own, so that hosts rarely guess the same address; addresses
 * released here go to the back, so that one is not reused at once.
 */
import type { Clock } from '../core/clock.ts';
import type { Deadline } from '../core/deadline.ts';
import { type IpAddress, type IpRange, ipFromHex, rangeHas, rangeSize } from '../core/ip.ts';

const SEGMENT_SIZE = 256n;
/** A guess older than this is worth less than a look. */
const STALE_MS = 10_000;

export interface CandidateSource {
  readonly range: IpRange;
  /** Hex keys (core/ip.ts ipToHex) of the addresses that are taken in [first, last]. */
  taken(first: IpAddress, last: IpAddress): Promise<readonly string[]>;
  /** Ours or under way on this host: not worth a guess. */
  busy(address: IpAddress): boolean;
}

export interface CandidateDependencies {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

export class Candidates {
  readonly #source: CandidateSource;
  readonly #deps: CandidateDependencies;
  readonly #segments: bigint;
  #next: bigint;
  #guesses: IpAddress[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(source: CandidateSource, deps: CandidateDependencies) {
    this.#source = source;
    this.#deps = deps;
    const size = rangeSize(source.range);
    this.#segments = (size + SEGMENT_SIZE - 1n) / SEGMENT_SIZE;
    this.#next = BigInt(Math.floor(deps.random() * 2 ** 40)) % (this.#segments > 0n ? this.#segments : 1n);
  }

  /**
   * The next guess.
   * @param deadline after it nothing more is read: a turn over a large pool that is full takes long
   * @returns undefined if a whole turn over the segments found nothing free (the caller counts before it says
   *   "exhausted"), or the time is up
   */
  async take(deadline?: Deadline): Promise<IpAddress | undefined> {
    if (this.#deps.clock.now() - this.#readAt > STALE_MS) this.#guesses = [];
    for (let turn = 0n; turn <= this.#segments; turn += 1n) {
      for (;;) {
        const guess = this.#guesses.shift();
        if (guess === undefined) break;
        if (!this.#source.busy(guess)) return guess;
      }
      if (turn === this.#segments || deadline?.leftMs() === 0) break;
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return undefined;
  }

  /** An address became free here: the last guess of all. */
  giveBack(address: IpAddress): void {
    if (rangeHas(this.#source.range, address) && this.#guesses.length < 1024) this.#guesses.push(address);
  }

  async #read(): Promise<void> {
    const { family, first, last } = this.#source.range;
    const start = first + this.#next * SEGMENT_SIZE;
    const end = start + SEGMENT_SIZE - 1n < last ? start + SEGMENT_SIZE - 1n : last;
    this.#next = (this.#next + 1n) % this.#segments;
    const taken = await this.#source.taken({ family, value: start }, { family, value: end });
    const used = new Set(taken.map((hex) => ipFromHex(hex).value));
    const size = Number(end - start + 1n);
    const offset = Math.floor(this.#deps.random() * size);
    for (let i = 0; i < size; i += 1) {
      const value = start + BigInt((i + offset) % size);
      if (!used.has(value)) this.#guesses.push({ family, value });
    }
    this.#readAt = this.#deps.clock.now();
  }
}
