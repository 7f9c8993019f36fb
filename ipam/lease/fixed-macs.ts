/**
 * Says at a lease of this host, and with it to all hosts, that the MAC of the address is another than the one that follows
 * from it: one transaction, made only where there is something to say. A container waits for it, because without it no
 * other machine would reach it.
 */
import type { Deadline } from '../../core/deadline.ts';
import { Conflict } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import { type Cidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import { type LeaseSteps, standingLease } from './lease-steps.ts';
import type { LeaseTable } from './lease-table.ts';

export interface FixedMacsDependencies {
  readonly table: LeaseTable;
  readonly committer: Pick<Committer, 'submit'>;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
}

/** A note may be written at the same time; more than a few cannot be. */
const TRIES = 5;

export class FixedMacs {
  readonly #deps: FixedMacsDependencies;

  constructor(deps: FixedMacsDependencies) {
    this.#deps = deps;
  }

  /**
   * Idempotent; does nothing for an address that this host does not hold.
   * @param mac absent: the MAC follows from the address
   * @throws StoreUnavailable within the deadline; Conflict if the lease changes all the time
   */
  async set(subnet: Cidr, address: IpAddress, mac: string | undefined, deadline: Deadline): Promise<void> {
    const { table, committer, stepsOf } = this.#deps;
    for (let tries = 1; tries <= TRIES; tries += 1) {
      const held = table.get(subnet, address);
      if (held === undefined || held.value.fixedMac === mac) return;
      const value = withMac(held.value, mac);
      failpoint('mac.before-commit');
      const step = stepsOf(subnet, address).replace(held.modRevision, value, held.value);
      const result = await committer.submit({ ...step, deadline });
      failpoint('mac.after-commit');
      const known = table.get(subnet, address);
      const same = known?.value.request === held.value.request ? known : undefined;
      if (result.succeeded) {
        if (same !== undefined && same.modRevision <= result.revision)
          table.set({ ...same, value: withMac(same.value, mac), modRevision: result.revision });
        return;
      }
      const standing = standingLease(result);
      if (standing?.value.request !== held.value.request || standing.value.state === 'reserved') return;
      if (same !== undefined) table.set({ ...same, ...standing });
    }
    throw new Conflict(`the lease of ${formatIp(address)} changes too often: start the container again`);
  }
}

function withMac({ fixedMac: _fixedMac, ...value }: LeaseValue, mac: string | undefined): LeaseValue {
  return mac === undefined ? value : { ...value, fixedMac: mac };
}
