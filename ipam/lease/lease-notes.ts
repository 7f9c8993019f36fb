/**
 * Writes to a lease what became of it (asked for out of the stock, who has it), some time after the container's way in.
 * Nobody waits for it; the newest note of an address wins, and a note never brings back a lease that was released
 * meanwhile: it compares the mod revision, and where that has moved it looks whether the lease is still the same one.
 */
import { type Cidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { LeaseHolder } from '../address-service.ts';
import type { Committer } from '../commit/committer.ts';
import { type LeaseSteps, standingLease } from './lease-steps.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';

export interface LeaseNotesDependencies {
  readonly table: LeaseTable;
  readonly committer: Committer;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
  readonly logger: Logger;
}

export class LeaseNotes {
  readonly #deps: LeaseNotesDependencies;
  readonly #notes = new Map<string, Partial<LeaseValue>>();

  constructor(deps: LeaseNotesDependencies) {
    this.#deps = deps;
  }

  /** etcd does not have yet what was noted. */
  writing(subnet: Cidr, address: IpAddress): boolean {
    return this.#notes.has(this.#deps.table.keyOf(subnet, address));
  }

  /** Who has the address. Returns at once. */
  bound(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    this.#note(subnet, address, { ...holder, state: 'bound' });
  }

  /** A warm lease was asked for. Returns at once. */
  asked(subnet: Cidr, address: IpAddress, value: LeaseValue): void {
    this.#note(subnet, address, { state: 'pending', at: value.at });
  }

  #note(subnet: Cidr, address: IpAddress, note: Partial<LeaseValue>): void {
    const key = this.#deps.table.keyOf(subnet, address);
    const writing = this.#notes.has(key);
    this.#notes.set(key, note);
    if (!writing) void this.#write(subnet, address, key);
  }

  async #write(subnet: Cidr, address: IpAddress, key: string): Promise<void> {
    try {
      for (;;) {
        const note = this.#notes.get(key);
        const held = this.#deps.table.get(subnet, address);
        if (note === undefined || held === undefined) return;
        const found = await this.#put(held, note);
        // Once more: an own note whose answer was lost, or an operator's change.
        if (found !== undefined && (await this.#put(found, note)) !== undefined) {
          this.#deps.logger.debug('a note on a lease is given up, it changes too often', {
            address: formatIp(address),
          });
        }
        if (this.#notes.get(key) === note) return;
      }
    } catch (error) {
      this.#deps.logger.warn('the holder of a lease could not be written', { err: error });
    } finally {
      this.#notes.delete(key);
    }
  }

  /** @returns the lease as it stands, if it is still the same one and was not as expected */
  async #put(held: HeldLease, note: Partial<LeaseValue>): Promise<HeldLease | undefined> {
    const { committer, stepsOf, logger } = this.#deps;
    const { subnet, address } = held;
    const value: LeaseValue = { ...held.value, ...note };
    const result = await committer.submit(stepsOf(subnet, address).replace(held.modRevision, value));
    if (result.succeeded) {
      this.#learn({ ...held, value, modRevision: result.revision });
      return undefined;
    }
    const standing = standingLease(result);
    const same = standing?.value.request === held.value.request && standing.value.state !== 'reserved';
    if (standing === undefined || !same) {
      logger.debug('a note on a lease is given up, the lease has ended', { address: formatIp(address) });
      return undefined;
    }
    const found = { ...held, ...standing };
    this.#learn({ ...found, value: { ...found.value, ...note } });
    return found;
  }

  #learn(held: HeldLease): void {
    const { table } = this.#deps;
    const known = table.get(held.subnet, held.address);
    if (known?.value.request === held.value.request && known.modRevision <= held.modRevision) table.set(held);
  }
}
