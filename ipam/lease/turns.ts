/**
 * Serves requests for any free address of a choice. As long as there are guesses nobody waits for another. Where there
 * are none, requests stand in a line: the first looks again and again, for a short while also in a pool that is full,
 * since an address may be on its way back; then etcd counts, and they are refused.
 */
import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { type Cidr, formatCidr, type IpAddress } from '../../core/ip.ts';
import type { Choice } from '../address/choice.ts';
import { patiently } from '../commit/patiently.ts';
import type { FreeAddresses } from './free-addresses.ts';

/** Between two looks of the first in the line. */
const LOOK_PAUSE_MS = 20;
const FULL_WAIT_MS = 300;

export interface TurnsOptions {
  /** How long a request waits for an address of a pool that is full, in milliseconds; 300 if absent. */
  readonly fullWaitMs?: number;
}

export interface TurnsDependencies {
  readonly free: FreeAddresses;
  readonly clock: Clock;
}

export class Turns {
  readonly #options: TurnsOptions;
  readonly #deps: TurnsDependencies;

  constructor(options: TurnsOptions, deps: TurnsDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * @param attempt tries a guess; undefined: it is taken, and the next is tried
   * @throws PoolExhausted with counts, StoreUnavailable within the deadline, what `attempt` throws
   */
  async serve<T>(
    subnet: Cidr,
    choice: Choice,
    deadline: Deadline,
    attempt: (address: IpAddress) => Promise<T | undefined>,
  ): Promise<T> {
    const search = this.#deps.free.of(subnet, choice);
    const place = search.line.place();
    const arrivedAtMs = this.#deps.clock.now();
    const patience = deadlineAfter(this.#options.fullWaitMs ?? FULL_WAIT_MS, this.#deps.clock);
    const refuse = () => patiently(() => search.refuseIfFull(arrivedAtMs), deadline);
    try {
      while (deadline.leftMs() > 0) {
        if (!place.isFirst && !(await place.turn(patience.leftMs() > 0 ? patience : deadline))) {
          if (deadline.leftMs() > 0) await refuse();
          continue;
        }
        const address = search.known() ?? (await patiently(() => search.next(deadline), deadline));
        if (address === undefined) {
          if (patience.leftMs() === 0 && deadline.leftMs() > 0) await refuse();
          await place.pause(Math.min(LOOK_PAUSE_MS, deadline.leftMs()));
          continue;
        }
        // The next in the line looks while this one tries.
        place.leave();
        const taken = await attempt(address);
        if (taken !== undefined) return taken;
        search.missed(address);
      }
    } finally {
      place.leave();
    }
    throw new StoreUnavailable(
      `pool ${formatCidr(subnet)} is nearly full and others were faster: start the container again`,
    );
  }
}
