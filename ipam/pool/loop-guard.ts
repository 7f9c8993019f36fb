/**
 * Guards against an engine that asks for ever: while a pool that it did not name itself overlaps a route of the host,
 * engines before 27 ask RequestPool again, at once, and neither use nor release what they were answered.
 *
 * How that is told from two `docker network create` at once: the loop is one caller, which asks only after its last
 * answer and does nothing else meanwhile. So a request is suspected only because of an answer that was given before
 * it came, and then waits a little: in the ordinary case the engine uses that other answer within milliseconds
 * (RequestAddress, ReleasePool, CreateNetwork), in the loop never, because it waits for us.
 * Source: moby libnetwork network.go (*Network).ipamAllocateVersion(), ipams/remote (until 26).
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { Conflict } from '../../core/errors.ts';

export interface LoopGuardOptions {
  /** How long an answer may wait for its use before it is suspected, in milliseconds. */
  readonly waitMs: number;
}

interface Answer {
  readonly subnet: string;
  readonly at: number;
  readonly used: Promise<void>;
  readonly markUsed: () => void;
}

/** An answer of which nothing was heard for longer was forgotten by the engine. */
const FORGOTTEN_MS = 5000;

export class LoopGuard {
  readonly #options: LoopGuardOptions;
  readonly #clock: Clock;
  /** Not used yet; by PoolID. */
  readonly #answers = new Map<string, Answer>();

  constructor(options: LoopGuardOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Before the pool is answered to a request without a subnet. @throws Conflict if that request is of a loop */
  async check(subnet: string, deadline: Deadline): Promise<void> {
    for (const [poolId, { at }] of this.#answers) {
      if (this.#clock.now() - at > FORGOTTEN_MS) this.#answers.delete(poolId);
    }
    const earlier = [...this.#answers.values()].filter((answer) => answer.subnet === subnet);
    if (earlier.length === 0) return;
    const waitMs = Math.min(this.#options.waitMs, deadline.leftMs() / 2);
    const used = Promise.all(earlier.map((answer) => answer.used)).then(() => true);
    if (await Promise.race([used, after(waitMs)])) return;
    throw new Conflict(
      `pool ${subnet} overlaps a route or name server of this host, so the engine will not choose it by itself: ` +
        `create the network with --subnet ${subnet}`,
    );
  }

  answered(poolId: string, subnet: string): void {
    let markUsed = (): void => {};
    const used = new Promise<void>((resolve) => {
      markUsed = resolve;
    });
    this.#answers.set(poolId, { subnet, at: this.#clock.now(), used, markUsed });
  }

  /** Something came for that PoolID. */
  used(poolId: string): void {
    this.#answers.get(poolId)?.markUsed();
    this.#answers.delete(poolId);
  }
}

function after(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, ms, false));
}
