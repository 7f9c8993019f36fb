/**
 * Setting aside an address that a machine outside of Lanius uses: the lease that was just taken becomes a reservation of
 * nobody, for a time, in one transaction; so no host gives the address out meanwhile, and every host learns that its MAC is
 * not the one that follows from it. `lanius ip unreserve` ends it before its time.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { NotFound } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { StepResult } from '../commit/step.ts';
import type { TtlBuckets } from '../commit/ttl-buckets.ts';
import type { LeaseSteps } from './lease-steps.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';
import type { Releases } from './releases.ts';

/** How long an address is left alone: an hour. The next container that would get it then asks the wire again. */
export const QUARANTINE_SECONDS = 3600;

export interface QuarantineDependencies {
  readonly table: LeaseTable;
  readonly committer: Pick<Committer, 'submit'>;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
  readonly ttls: Pick<TtlBuckets, 'ttl' | 'forget'>;
  readonly releases: Pick<Releases, 'release'>;
  readonly clock: Clock;
}

export class Quarantine {
  readonly #deps: QuarantineDependencies;

  constructor(deps: QuarantineDependencies) {
    this.#deps = deps;
  }

  /**
   * Idempotent. An address that belongs to a name is only given back: it stays the name's, and a person has to decide.
   * @param mac of the machine that has answered
   * @returns false if it was only given back, or was not this host's any more
   * @throws StoreUnavailable; then the lease still stands, and its release is the caller's or the engine's
   */
  async begin(subnet: Cidr, address: IpAddress, mac: string, deadline: Deadline): Promise<boolean> {
    const { table, releases } = this.#deps;
    const held = table.get(subnet, address);
    if (held === undefined) return false;
    if (held.value.name !== undefined) {
      await releases.release(held);
      return false;
    }
    failpoint('quarantine.before-commit');
    const result = await this.#submit(held, this.#reserved(held.value, mac), deadline);
    failpoint('quarantine.after-commit');
    if (result.succeeded) table.forget(held);
    // It has changed in this moment (an operator's order): whatever it is now is not to be used here.
    else await releases.release(held);
    return result.succeeded;
  }

  async #submit(held: HeldLease, reserved: LeaseValue, deadline: Deadline): Promise<StepResult> {
    const { committer, stepsOf, ttls } = this.#deps;
    const { subnet, address, modRevision, value } = held;
    const ttlId = await ttls.ttl(QUARANTINE_SECONDS);
    const step = stepsOf(subnet, address).quarantine(modRevision, value, reserved, ttlId);
    try {
      return await committer.submit({ ...step, deadline });
    } catch (error) {
      // etcd does not know the TTL any more (it was restored): the next one is another.
      if (!(error instanceof NotFound)) throw error;
      await ttls.forget(ttlId);
      return await this.#submit(held, reserved, deadline);
    }
  }

  #reserved({ host, request, bootId }: LeaseValue, macAddress: string): LeaseValue {
    const at = this.#deps.clock.wall();
    const keepSeconds = QUARANTINE_SECONDS;
    return {
      v: 1,
      state: 'reserved',
      role: 'quarantine',
      keepSeconds,
      host,
      request,
      bootId,
      at,
      macAddress,
    };
  }
}
