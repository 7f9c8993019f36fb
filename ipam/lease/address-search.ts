/**
 * The search for a free address in one choice of a pool: in its own ranges; in the borrowed ones when etcd has counted
 * that the own are used up; and where only cooling addresses are left, the one that was released first, with a warning.
 * Guesses only: the transaction that makes the lease decides.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { Choice } from '../address/choice.ts';
import type { Candidates } from './candidates.ts';
import { isFull, refuseIfFull } from './exhaustion.ts';
import type { LeaseReads } from './lease-reads.ts';
import { WaitingLine } from './waiting-line.ts';

/** Round trips before etcd is asked to count: most of a full pool is not looked at. */
const FIRST_LOOKS = 4;
/** From this size on a place with free addresses is found by counting, not by going round. */
const LARGE = 4096n;
/** Places that are tried so: others look there, too, and what is free may cool. */
const AIMS = 3;
/** Borrowing goes on for so long without a new count of the own ranges. */
const BORROWING_MS = 1000;
/** Cooling addresses are given for so many times as long as it took to find that nothing else is left. */
const WAIVED_TIMES = 10;
const LONGEST_WAIVED_MS = 10_000;

export interface AddressSearchDependencies {
  readonly own: Candidates;
  readonly borrow: Candidates;
  readonly reads: LeaseReads;
  readonly clock: Clock;
  /** A cooling address is given. */
  readonly onWaived: (subnet: Cidr) => void;
}

export class AddressSearch {
  readonly line = new WaitingLine();
  readonly #subnet: Cidr;
  readonly #choice: Choice;
  readonly #deps: AddressSearchDependencies;
  #ownFullUntilMs = 0;
  #waivedUntilMs = 0;
  #counting: { readonly startedAtMs: number; readonly done: Promise<void> } | undefined;

  constructor(subnet: Cidr, choice: Choice, deps: AddressSearchDependencies) {
    this.#subnet = subnet;
    this.#choice = choice;
    this.#deps = deps;
  }

  /** The next guess, if one can be had without a look. */
  known(): IpAddress | undefined {
    return this.#deps.own.known();
  }

  /** @returns undefined if nothing was found in the time @throws StoreUnavailable */
  async next(deadline: Deadline): Promise<IpAddress | undefined> {
    const { own, borrow, clock } = this.#deps;
    const known = this.known();
    if (known !== undefined) return known;
    if (clock.now() < this.#waivedUntilMs) {
      const cool = own.coolest() ?? borrow.coolest();
      if (cool !== undefined) return this.#waived(cool);
    }
    const startedAtMs = clock.now();
    if (startedAtMs >= this.#ownFullUntilMs) {
      const found = await own.take(deadline, FIRST_LOOKS);
      if (found !== undefined || deadline.leftMs() === 0) return found;
      if (!(await isFull(this.#deps.reads, this.#subnet, this.#choice.own)))
        return this.#thorough(own, startedAtMs, deadline);
      this.#ownFullUntilMs = clock.now() + BORROWING_MS;
    }
    if (borrow.size === 0n) return undefined;
    const found = await borrow.take(deadline, FIRST_LOOKS);
    if (found !== undefined || deadline.leftMs() === 0) return found;
    if (await isFull(this.#deps.reads, this.#subnet, this.#choice.borrow)) return undefined;
    return this.#thorough(borrow, startedAtMs, deadline);
  }

  /** For the stock: nothing that is borrowed or cools, and not before those who wait. @throws StoreUnavailable */
  async spare(deadline: Deadline): Promise<IpAddress | undefined> {
    if (!this.line.isEmpty) return undefined;
    return this.#deps.own.take(deadline, FIRST_LOOKS);
  }

  /** Another host was faster with a guess. */
  missed(address: IpAddress): void {
    this.#deps.own.missed(address);
    this.#deps.borrow.missed(address);
  }

  /** An address of the pool was released here. */
  released(): void {
    this.#ownFullUntilMs = 0;
    this.line.wake();
  }

  /**
   * "Exhausted" is said only after etcd itself has counted.
   * @param sinceMs a count that began after that serves
   * @throws PoolExhausted, StoreUnavailable
   */
  refuseIfFull(sinceMs: number): Promise<void> {
    if (this.#counting !== undefined && this.#counting.startedAtMs >= sinceMs) return this.#counting.done;
    const done = refuseIfFull(this.#deps.reads, this.#subnet, this.#choice).finally(() => {
      if (this.#counting?.done === done) this.#counting = undefined;
    });
    this.#counting = { startedAtMs: this.#deps.clock.now(), done };
    return done;
  }

  /** etcd says that something is free or cools, so all is looked at. */
  async #thorough(
    candidates: Candidates,
    startedAtMs: number,
    deadline: Deadline,
  ): Promise<IpAddress | undefined> {
    const found = (await this.#aimed(candidates, deadline)) ?? (await candidates.take(deadline));
    if (found !== undefined || deadline.leftMs() === 0) return found;
    const cool = candidates.coolest();
    if (cool === undefined) return undefined;
    const now = this.#deps.clock.now();
    this.#waivedUntilMs = now + Math.min((now - startedAtMs) * WAIVED_TIMES, LONGEST_WAIVED_MS);
    return this.#waived(cool);
  }

  async #aimed(candidates: Candidates, deadline: Deadline): Promise<IpAddress | undefined> {
    if (candidates.size < LARGE) return undefined;
    for (let aims = 0; aims < AIMS && deadline.leftMs() > 0; aims += 1) {
      await candidates.aim((ranges) => this.#deps.reads.count(this.#subnet, ranges));
      const found = await candidates.take(deadline, 1);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #waived(address: IpAddress): IpAddress {
    this.#deps.onWaived(this.#subnet);
    return address;
  }
}
