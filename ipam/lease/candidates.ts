/**
 * Guesses of free addresses, cheap and maybe stale: the transaction that makes the lease decides. One round trip reads
 * the keys of 256 addresses (a segment) when the guesses of the last are used up. No watch, no scan of the pool.
 *
 * Order, as far as it can be known without a scan: going round the ranges from where the last guess was, so that what
 * was given longest ago comes first; addresses that this host released come after those of the segment; those that
 * still cool are only given by `coolest`. Each host starts somewhere else, and jumps when another host was faster, so
 * that hosts rarely guess the same address.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import type { IpAddress, IpRange } from '../../core/ip.ts';
import { RangeSpace, spansOf } from '../address/range-space.ts';
import { placeWithRoom } from './place-with-room.ts';

const SEGMENT_SIZE = 256n;
/** A guess older than this is worth less than a look. */
const STALE_MS = 10_000;
/** Addresses whose cooling is remembered; the others are seen when they are free. */
const MOST_REMEMBERED = 4096;

export interface Segment {
  readonly taken: ReadonlySet<bigint>;
  /** Mod revisions of the marks of addresses that cool; an old one may be on an address that is taken again. */
  readonly cooling: ReadonlyMap<bigint, number>;
}

export interface CandidateSource {
  /** Disjoint, of one family, in order. */
  readonly ranges: readonly IpRange[];
  /** What etcd has in these spans, in one round trip if there are few. */
  look(spans: readonly IpRange[]): Promise<Segment>;
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
  readonly #space: RangeSpace;
  /** Number of the address at which the next segment starts. */
  #next = 0n;
  #segment = { from: 0n, to: 0n };
  #guesses: bigint[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<bigint> | undefined;
  /** Released by this host, oldest first: when they are ready. */
  readonly #released = new Map<bigint, number>();
  /** Free addresses that cool, with the revision of their release. */
  readonly #cooling = new Map<bigint, number>();

  constructor(source: CandidateSource, deps: CandidateDependencies) {
    this.#source = source;
    this.#deps = deps;
    this.#space = new RangeSpace(source.ranges);
    this.#jump();
  }

  get size(): bigint {
    return this.#space.size;
  }

  /** The next guess, if one can be had without a look. */
  known(): IpAddress | undefined {
    const now = this.#deps.clock.now();
    if (now - this.#readAt > STALE_MS) this.#rewind();
    for (let value = this.#guesses.shift(); value !== undefined; value = this.#guesses.shift()) {
      const guess = this.#addressOf(value);
      if (!this.#source.busy(guess)) return guess;
    }
    for (const [value, readyAt] of this.#released) {
      if (readyAt > now) break;
      this.#released.delete(value);
      this.#cooling.delete(value);
      const guess = this.#addressOf(value);
      // Later it is worth no more than any other, and will be found.
      if (now - readyAt <= STALE_MS && !this.#source.busy(guess)) return guess;
    }
    return undefined;
  }

  /**
   * The next guess.
   * @param deadline after it nothing more is read: a turn over large ranges that are full takes long
   * @param looks at most so many round trips
   * @returns undefined if a whole turn found nothing (the caller counts before it says "exhausted"), or the time or
   *   the looks are used up
   */
  async take(deadline?: Deadline, looks = Number.POSITIVE_INFINITY): Promise<IpAddress | undefined> {
    let seen = 0n;
    for (let looked = 0; ; looked += 1) {
      const guess = this.known();
      if (guess !== undefined) return guess;
      if (looked >= looks || seen >= this.#space.size || deadline?.leftMs() === 0) return undefined;
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      seen += await this.#reading;
    }
  }

  /** The next look goes where something is free. @param count how many addresses of these ranges are taken */
  async aim(count: (ranges: readonly IpRange[]) => Promise<number>): Promise<void> {
    const place = await placeWithRoom(this.#space, { count, random: this.#deps.random });
    if (place !== undefined) this.#next = place;
  }

  /** Of the addresses seen that cool, the one that was released first; it is not answered again. */
  coolest(): IpAddress | undefined {
    const oldestFirst = [...this.#cooling].sort(([, a], [, b]) => a - b);
    for (const [value] of oldestFirst) {
      this.#cooling.delete(value);
      this.#released.delete(value);
      const address = this.#addressOf(value);
      if (!this.#source.busy(address)) return address;
    }
    return undefined;
  }

  /** An address became free here. @param rest how long it rests, and the revision of its release */
  giveBack(address: IpAddress, rest: { readonly seconds: number; readonly revision: number }): void {
    const { family, value } = address;
    if (family !== this.#space.family || this.#space.indexOf(value) === undefined) return;
    this.#released.delete(value);
    if (this.#released.size >= MOST_REMEMBERED) return;
    this.#released.set(value, this.#deps.clock.now() + rest.seconds * 1000);
    if (rest.seconds > 0) this.#noteCooling(value, rest.revision);
  }

  /** Another host was faster with a guess: what was seen is old, and it seems to go the same way. */
  missed(address: IpAddress): void {
    const index = this.#space.indexOf(address.value);
    if (index === undefined || index < this.#segment.from || index >= this.#segment.to) return;
    this.#guesses = [];
    this.#jump();
  }

  #addressOf(value: bigint): IpAddress {
    return { family: this.#space.family, value };
  }

  #jump(): void {
    this.#next = (BigInt(Math.floor(this.#deps.random() * 2 ** 48)) * this.#space.size) >> 48n;
  }

  /** The unused guesses are looked at again. */
  #rewind(): void {
    const [first] = this.#guesses;
    this.#guesses = [];
    if (first !== undefined) this.#next = this.#space.indexOf(first) ?? this.#next;
  }

  /** @returns how many addresses were looked at */
  async #read(): Promise<bigint> {
    const { size } = this.#space;
    const from = this.#next;
    const to = from + SEGMENT_SIZE < size ? from + SEGMENT_SIZE : size;
    const pieces = this.#space.pieces(from, to);
    const segment = await this.#source.look(spansOf(pieces, SEGMENT_SIZE));
    this.#segment = { from, to };
    this.#next = to === size ? 0n : to;
    for (const { first, last } of pieces) {
      for (let value = first; value <= last; value += 1n) this.#sort(value, segment);
    }
    this.#readAt = this.#deps.clock.now();
    return to - from;
  }

  #sort(value: bigint, segment: Segment): void {
    if (segment.taken.has(value)) {
      this.#cooling.delete(value);
      this.#released.delete(value);
      return;
    }
    if (this.#released.has(value)) return;
    const revision = segment.cooling.get(value);
    if (revision === undefined) {
      this.#cooling.delete(value);
      this.#guesses.push(value);
    } else this.#noteCooling(value, revision);
  }

  #noteCooling(value: bigint, revision: number): void {
    if (this.#cooling.has(value) || this.#cooling.size < MOST_REMEMBERED) this.#cooling.set(value, revision);
  }
}
