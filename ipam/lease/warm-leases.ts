/**
 * Leases ahead of their containers (state `warm`): taken when there is time, handed out from memory without a word
 * with etcd. Which ones and how many is decided by the stock; here is what it does to the leases.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { PoolExhausted } from '../../core/errors.ts';
import { type Cidr, formatCidr } from '../../core/ip.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { Choice } from '../address/choice.ts';
import { patiently } from '../commit/patiently.ts';
import type { FreeAddresses } from './free-addresses.ts';
import type { LeaseNotes } from './lease-notes.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';
import type { LeaseTaker } from './lease-taker.ts';
import type { Quota } from './quota.ts';
import type { Releases } from './releases.ts';

export interface WarmLeasesDependencies {
  readonly table: LeaseTable;
  readonly taker: LeaseTaker;
  readonly free: FreeAddresses;
  readonly quota: Quota;
  readonly notes: LeaseNotes;
  readonly releases: Releases;
  readonly clock: Clock;
}

export class WarmLeases {
  readonly #deps: WarmLeasesDependencies;

  constructor(deps: WarmLeasesDependencies) {
    this.#deps = deps;
  }

  /**
   * Takes a free address that is not cooling, never a borrowed one, and none that a container waits for.
   * @throws PoolExhausted if there is none to spare, or the quota is reached; StoreUnavailable within the deadline
   */
  async take(subnet: Cidr, { own }: Choice, deadline: Deadline): Promise<HeldLease> {
    const { free, quota, taker } = this.#deps;
    const search = free.of(subnet, { own, borrow: [] });
    const slot = quota.enter(subnet);
    try {
      for (;;) {
        const address = await patiently(() => search.spare(deadline), deadline);
        if (address === undefined) break;
        const { held } = await taker.take(subnet, address, { deadline, slot, state: 'warm' });
        if (held !== undefined) return held;
        search.missed(address);
      }
    } finally {
      slot.end();
    }
    throw new PoolExhausted(
      `pool ${formatCidr(subnet)} has no address to spare for the stock of this host: remove containers or use a ` +
        'larger pool',
    );
  }

  /** A container has asked: pending in memory at once, in etcd as soon as it answers. */
  bind(held: HeldLease): void {
    const { table, notes, clock } = this.#deps;
    const value: LeaseValue = { ...held.value, state: 'pending', at: clock.wall() };
    table.set({ ...held, value });
    notes.asked(held.subnet, held.address, value);
  }

  /** Frees it, without cooling: nobody has used it. @returns false if it is warm no longer */
  async giveBack(held: HeldLease, deadline: Deadline): Promise<boolean> {
    const { table, releases } = this.#deps;
    const known = table.get(held.subnet, held.address);
    if (known?.value.state !== 'warm' || known.value.request !== held.value.request) return false;
    return releases.releaseIfUnchanged(held, deadline, { cooling: false });
  }
}
