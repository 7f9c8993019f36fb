/**
 * Taking ONE address that somebody has chosen: one transaction, and the table when etcd has confirmed. Which address,
 * for whom, and what to do when it is taken is decided by the callers.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { Conflict } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { Step } from '../commit/step.ts';
import type { Fates } from './afterwards.ts';
import { existingLease, type HeldValue, holderText, type LeaseSteps, standingLease } from './lease-steps.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';
import type { Slot } from './quota.ts';

export interface LeaseTakerOptions {
  readonly host: string;
  readonly instance: string;
  readonly bootId: string;
}

export interface LeaseTakerDependencies {
  readonly table: LeaseTable;
  readonly committer: Committer;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
  readonly fates: Pick<Fates, 'of'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface TakeOptions {
  readonly deadline: Deadline;
  /** Ended in the moment in which the lease is in the table. */
  readonly slot?: Slot;
  readonly state?: 'pending' | 'warm';
  /** Of a lease with a name. */
  readonly named?: Pick<LeaseValue, 'role' | 'name' | 'keepSeconds'>;
  /** A lease that this host has already, or had last, is taken for the one that was meant. */
  readonly adopt?: boolean;
}

/** The lease, or what is in its way; neither: the name has another address, or the reservation is gone. */
export interface Taken {
  readonly held?: HeldLease;
  readonly other?: HeldValue;
}

export class LeaseTaker {
  readonly #options: LeaseTakerOptions;
  readonly #deps: LeaseTakerDependencies;
  /** Asked for, not yet answered. */
  readonly #wanted = new Set<string>();
  #requests = 0;

  constructor(options: LeaseTakerOptions, deps: LeaseTakerDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** A request on this address is under way. */
  busy(subnet: Cidr, address: IpAddress): boolean {
    const key = this.#deps.table.keyOf(subnet, address);
    return this.#wanted.has(key) || this.#deps.committer.busy(key);
  }

  /** Takes a free address. */
  async take(subnet: Cidr, address: IpAddress, options: TakeOptions): Promise<Taken> {
    const value = this.value(options);
    return this.#take(subnet, address, value, this.#deps.stepsOf(subnet, address).take(value), options);
  }

  /** Takes a free address for a name that has none. @param nameRevision see ipam/lease/lease-steps.ts */
  async takeForName(
    subnet: Cidr,
    address: IpAddress,
    options: TakeOptions,
    nameRevision?: number,
  ): Promise<Taken> {
    const value = this.value(options);
    const step = this.#deps.stepsOf(subnet, address).takeForName(value, nameRevision);
    return this.#take(subnet, address, value, step, options);
  }

  /** Takes an address that is reserved for the name of `options`. @param reserved as it was read */
  async takeReserved(
    subnet: Cidr,
    address: IpAddress,
    reserved: HeldValue,
    options: TakeOptions,
  ): Promise<Taken> {
    const value = this.value(options);
    const step = this.#deps.stepsOf(subnet, address).takeReserved(reserved, value);
    const undone = (revision: number): void => {
      void this.#keepAgain(subnet, address, { value: reserved.value, modRevision: revision });
    };
    return this.#take(subnet, address, value, { ...step, undone }, options);
  }

  /** The undo has put a sticky address back without its TTL, so it would be kept for ever. Never throws. */
  async #keepAgain(subnet: Cidr, address: IpAddress, { value, modRevision }: HeldValue): Promise<void> {
    const { committer, stepsOf, fates, logger } = this.#deps;
    if (value.role !== 'sticky') return;
    try {
      const afterwards = await fates.of(subnet, value, { cooling: false });
      if (afterwards.fate !== 'keep') return;
      const kept = { ...afterwards, reserved: value };
      await committer.submit(stepsOf(subnet, address).release({ modRevision }, kept));
    } catch (err) {
      logger.warn('an address that nobody took in time stays kept for its name until the name comes again', {
        address: formatIp(address),
        err,
      });
    }
  }

  /** A new request, as the value of its lease. */
  value({ state = 'pending', named = {} }: Pick<TakeOptions, 'state' | 'named'>): LeaseValue {
    const { host, bootId, instance } = this.#options;
    this.#requests += 1;
    const request = `${instance}.${this.#requests}`;
    return { v: 1, state, ...named, host, request, bootId, at: this.#deps.clock.wall() };
  }

  async #take(
    subnet: Cidr,
    address: IpAddress,
    value: LeaseValue,
    step: Step,
    options: TakeOptions,
  ): Promise<Taken> {
    const { table, committer } = this.#deps;
    const key = table.keyOf(subnet, address);
    this.#wanted.add(key);
    try {
      failpoint('lease.before-commit');
      const result = await committer.submit({ ...step, deadline: options.deadline });
      failpoint('lease.after-commit');
      const other = standingLease(result);
      if (!result.succeeded && other === undefined) return {};
      // An earlier copy of ours, whose answer was lost, stands there like a lease of another.
      const { existing, ...revisions } = existingLease(result, value);
      const mine = existing.state !== 'reserved' && existing.host === value.host;
      if (existing.request !== value.request && !(options.adopt === true && mine))
        return other === undefined ? {} : { other };
      const held = { subnet, address, ...revisions, value: existing };
      table.set(held);
      options.slot?.end();
      return { held };
    } finally {
      this.#wanted.delete(key);
    }
  }
}

/** @throws Conflict that names the holder */
export function refuseIfTaken(subnet: Cidr, address: IpAddress, other: LeaseValue | undefined): void {
  if (other === undefined) return;
  throw new Conflict(
    `address ${formatIp(address)} of pool ${formatCidr(subnet)} is taken: ${holderText(other)}`,
  );
}
