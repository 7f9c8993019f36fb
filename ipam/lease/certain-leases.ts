/**
 * Leases of an address that somebody named: `--ip`, an endpoint that the engine brings, a living endpoint whose lease
 * etcd has lost. A reserved address is given to those it is reserved for.
 */
import { type Deadline, within } from '../../core/deadline.ts';
import { Conflict } from '../../core/errors.ts';
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { HeldValue } from './lease-steps.ts';
import type { LeaseTable } from './lease-table.ts';
import { type LeaseTaker, refuseIfTaken, type TakeOptions } from './lease-taker.ts';
import type { Quota } from './quota.ts';
import type { RefusedEndpoints } from './refused-endpoints.ts';
import type { Releases } from './releases.ts';

export interface CertainLeasesDependencies {
  readonly table: LeaseTable;
  readonly taker: LeaseTaker;
  readonly releases: Releases;
  readonly quota: Quota;
  readonly refused: RefusedEndpoints;
}

/** A reservation may change between the look and the taking; this often it is looked at again. */
const TRIES = 4;

export class CertainLeases {
  readonly #host: string;
  readonly #deps: CertainLeasesDependencies;

  constructor(options: { readonly host: string }, deps: CertainLeasesDependencies) {
    this.#host = options.host;
    this.#deps = deps;
  }

  /**
   * @param name of the container, if the engine tells it: an operator's reservation for another name is refused; a
   *   sticky one is given to its own name only
   * @throws Conflict that names the holder
   */
  async takeThis(subnet: Cidr, address: IpAddress, deadline: Deadline, name?: string): Promise<void> {
    const { table, quota } = this.#deps;
    // What this host has already is refused as taken, not for the quota.
    const slot = table.get(subnet, address) === undefined ? quota.enter(subnet) : undefined;
    const options = { deadline, ...(slot === undefined ? {} : { slot }) };
    try {
      await this.#take(subnet, address, options, ({ value }) => {
        if (value.state !== 'reserved' || value.name === undefined) return false;
        if (value.role === 'operator') return name === undefined || name === value.name;
        return value.role === 'sticky' && name === value.name;
      });
    } finally {
      slot?.end();
    }
  }

  /** Makes sure that the endpoint has the lease; takes it (again) if nobody has it. @throws Conflict */
  async confirm(subnet: Cidr, address: IpAddress, endpointId: string, deadline: Deadline): Promise<void> {
    const { table, releases, refused } = this.#deps;
    if (table.get(subnet, address) === undefined || releases.underWay(subnet, address) !== undefined)
      await this.#adopt(subnet, address, deadline);
    const held = table.get(subnet, address);
    const owner = held === undefined ? undefined : table.own(held, endpointId);
    if (held === undefined || owner === undefined) return;
    refused.note(table.keyOf(subnet, address));
    refuseIfTaken(subnet, address, { ...held.value, endpointId: owner });
  }

  /** Takes the lease of a living endpoint again. @throws Conflict if somebody else has the address by now */
  async restore(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const { table } = this.#deps;
    const believed = table.get(subnet, address);
    try {
      await this.#adopt(subnet, address, deadline);
    } catch (error) {
      if (believed !== undefined && error instanceof Conflict) table.forget(believed);
      throw error;
    }
  }

  /** Also what is reserved for a name of which this host had the address last: its container lives. */
  #adopt(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    return this.#take(subnet, address, { deadline, adopt: true }, ({ value }) => {
      const forName = value.role === 'operator' || value.role === 'sticky';
      return value.state === 'reserved' && forName && value.host === this.#host;
    });
  }

  async #take(
    subnet: Cidr,
    address: IpAddress,
    options: TakeOptions,
    mayHave: (reserved: HeldValue) => boolean,
  ): Promise<void> {
    const { taker, releases } = this.#deps;
    // It would end a lease that was found meanwhile.
    const ending = releases.underWay(subnet, address);
    if (ending !== undefined) await within(ending, options.deadline, 'the release of the same address');
    for (let tries = 1; ; tries += 1) {
      const { held, other } = await taker.take(subnet, address, options);
      if (held !== undefined) return;
      if (other === undefined) continue;
      if (tries > TRIES || !mayHave(other)) return refuseIfTaken(subnet, address, other.value);
      const named = { role: other.value.role, name: other.value.name, keepSeconds: other.value.keepSeconds };
      const again = await taker.takeReserved(subnet, address, other, { ...options, named });
      if (again.held !== undefined) return;
    }
  }
}
