/** Addresses of the stock on their way back to their pools; who needs room in a pool can wait for them. */
import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { type Cidr, formatCidr } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { HeldLease } from '../lease/lease-table.ts';

const TIME_MS = 2000;

export interface WarmReturnsDependencies {
  readonly leases: { giveBackWarm(held: HeldLease, deadline: Deadline): Promise<unknown> };
  readonly clock: Clock;
  readonly logger: Logger;
}

export class WarmReturns {
  readonly #deps: WarmReturnsDependencies;
  /** By pool. */
  readonly #underWay = new Map<string, Set<Promise<void>>>();

  constructor(deps: WarmReturnsDependencies) {
    this.#deps = deps;
  }

  /** Never throws: what etcd does not take now is found by reconciliation, for it is warm and not in stock. */
  async giveBack(subnet: Cidr, back: readonly HeldLease[]): Promise<void> {
    if (back.length === 0) return;
    const pool = formatCidr(subnet);
    const deadline = deadlineAfter(TIME_MS, this.#deps.clock);
    const work = Promise.all(back.map((held) => this.#one(held, deadline))).then(() => {});
    const others = this.#underWay.get(pool) ?? new Set();
    this.#underWay.set(pool, others.add(work));
    await work;
    others.delete(work);
    if (others.size === 0) this.#underWay.delete(pool);
  }

  /** Waits for what is on its way. @returns false if nothing was */
  async settled(subnet: Cidr): Promise<boolean> {
    const underWay = this.#underWay.get(formatCidr(subnet));
    if (underWay === undefined) return false;
    await Promise.all(underWay);
    return true;
  }

  async #one(held: HeldLease, deadline: Deadline): Promise<void> {
    try {
      await this.#deps.leases.giveBackWarm(held, deadline);
    } catch (err) {
      this.#deps.logger.debug('an address of the stock could not be given back yet', { err });
    }
  }
}
