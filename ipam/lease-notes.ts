/**
 * Writes to a lease who has it, some time after the container's way in. Nobody waits for it; the newest note of an
 * address wins, and a note never brings back a lease that was released meanwhile (the mod revision is compared).
 */
import type { Cidr, IpAddress } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { LeaseValue } from '../store/schema.ts';
import type { LeaseHolder } from './address-service.ts';
import type { Committer } from './committer.ts';
import type { LeaseTransactions } from './lease-steps.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';

export interface LeaseNotesDependencies {
  readonly table: LeaseTable;
  readonly committer: Committer;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseTransactions;
  readonly logger: Logger;
}

export class LeaseNotes {
  readonly #deps: LeaseNotesDependencies;
  readonly #notes = new Map<string, LeaseHolder>();

  constructor(deps: LeaseNotesDependencies) {
    this.#deps = deps;
  }

  /** Returns at once. */
  write(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    const key = this.#deps.table.keyOf(subnet, address);
    const writing = this.#notes.has(key);
    this.#notes.set(key, holder);
    if (!writing) void this.#write(subnet, address, key);
  }

  async #write(subnet: Cidr, address: IpAddress, key: string): Promise<void> {
    try {
      for (;;) {
        const holder = this.#notes.get(key);
        const held = this.#deps.table.get(subnet, address);
        if (holder === undefined || held === undefined) return;
        await this.#bind(held, holder);
        if (this.#notes.get(key) === holder) return;
      }
    } catch (error) {
      this.#deps.logger.warn('the holder of a lease could not be written', { err: error });
    } finally {
      this.#notes.delete(key);
    }
  }

  async #bind(held: HeldLease, holder: LeaseHolder): Promise<void> {
    const { table, committer, stepsOf } = this.#deps;
    const value: LeaseValue = { ...held.value, ...holder, state: 'bound' };
    const steps = stepsOf(held.subnet, held.address);
    const result = await committer.submit(steps.replace(held.modRevision, value));
    if (result.succeeded && table.get(held.subnet, held.address) === held) {
      table.set({ ...held, value, modRevision: result.revision });
    }
  }
}
