/**
 * Addresses that follow a name: the address that is reserved for the name, else a free one, which is the name's from
 * then on. Lease and name are always changed in one transaction, so two hosts that ask for one name at once get one
 * address and one refusal.
 *
 * A name whose address is in use is not given again; only the same host asks twice and gets the same answer, as long as
 * no endpoint has it.
 */
import { type Deadline, within } from '../../core/deadline.ts';
import { Conflict, StoreUnavailable } from '../../core/errors.ts';
import { type Cidr, cidrHas, formatCidr, formatIp, type IpAddress, parseIp } from '../../core/ip.ts';
import { decode, type LeaseValue, leaseSchema, nameSchema } from '../../store/schema.ts';
import type { Choice } from '../address/choice.ts';
import type { Committer } from '../commit/committer.ts';
import { patiently } from '../commit/patiently.ts';
import type { LeaseReads } from './lease-reads.ts';
import { type HeldValue, type LeaseSteps, standingLease } from './lease-steps.ts';
import type { LeaseTable } from './lease-table.ts';
import type { LeaseTaker, TakeOptions } from './lease-taker.ts';
import { NameMemory } from './name-memory.ts';
import type { Quota, Slot } from './quota.ts';
import type { Releases } from './releases.ts';
import type { Turns } from './turns.ts';

/** How a lease for a name is kept after its release. */
export interface Keep {
  readonly role: 'sticky';
  readonly keepSeconds: number;
}

export interface NamedLeasesDependencies {
  readonly table: LeaseTable;
  readonly taker: LeaseTaker;
  readonly turns: Turns;
  readonly quota: Quota;
  readonly releases: Releases;
  readonly reads: LeaseReads;
  readonly committer: Committer;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
}

interface Asked {
  readonly subnet: Cidr;
  readonly name: string;
  readonly choice: Choice;
  readonly deadline: Deadline;
  readonly named: Pick<LeaseValue, 'role' | 'name' | 'keepSeconds'>;
}

/** The name's entry, and the lease that it points to. */
interface Standing {
  readonly address: IpAddress;
  readonly nameRevision: number;
  readonly lease: HeldValue | undefined;
}

/** Between two looks at what is changing. */
const LOOK_PAUSE_MS = 20;

export class NamedLeases {
  readonly memory = new NameMemory();
  readonly #host: string;
  readonly #deps: NamedLeasesDependencies;
  /** One request at a time for a name. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(options: { readonly host: string }, deps: NamedLeasesDependencies) {
    this.#host = options.host;
    this.#deps = deps;
  }

  /** @throws Conflict that says who has the address of the name; PoolExhausted; StoreUnavailable within the deadline */
  async take(subnet: Cidr, name: string, choice: Choice, keep: Keep, deadline: Deadline): Promise<IpAddress> {
    const id = `${formatCidr(subnet)} ${name}`;
    const asked = { subnet, name, choice, deadline, named: { ...keep, name } };
    const before = this.#last.get(id) ?? Promise.resolve();
    const work = within(before, deadline, 'the request for the same name').then(() => this.#take(asked));
    const ended = work.then(
      () => {},
      () => {},
    );
    this.#last.set(id, ended);
    void ended.then(() => {
      if (this.#last.get(id) === ended) this.#last.delete(id);
    });
    return work;
  }

  async #take(asked: Asked): Promise<IpAddress> {
    const { subnet, name, deadline } = asked;
    const kept = this.memory.take(subnet, name);
    if (kept !== undefined && (await this.#takeReserved(asked, kept.address, kept.reserved)))
      return kept.address;
    while (deadline.leftMs() > 0) {
      const standing = await patiently(() => this.#look(subnet, name), deadline);
      const address =
        standing === undefined ? await this.#takeNew(asked) : await this.#takeAs(asked, standing);
      if (address !== undefined) return address;
      await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS));
    }
    throw new StoreUnavailable(
      `the address of the name "${name}" of pool ${formatCidr(subnet)} is changing hands: start the container again`,
    );
  }

  async #look(subnet: Cidr, name: string): Promise<Standing | undefined> {
    const { reads } = this.#deps;
    const kv = await reads.name(subnet, name);
    if (kv === undefined) return undefined;
    const address = parseIp(decode(nameSchema, kv.key, kv.value).address);
    if (!cidrHas(subnet, address)) throw this.#damaged(subnet, name, address, 'which is not in the pool');
    const lease = await reads.lease(subnet, address);
    const nameRevision = kv.modRevision;
    if (lease === undefined) return { address, nameRevision, lease };
    const value = decode(leaseSchema, lease.key, lease.value);
    return { address, nameRevision, lease: { value, modRevision: lease.modRevision } };
  }

  /** @returns undefined if it is to be looked at again */
  async #takeAs(asked: Asked, { address, nameRevision, lease }: Standing): Promise<IpAddress | undefined> {
    const { subnet, name } = asked;
    // Damage, or it was released between the two reads: the transaction compares both.
    if (lease === undefined) return this.#tryOne(asked, address, nameRevision);
    const { value } = lease;
    const forName = (value.role === 'operator' || value.role === 'sticky') && value.name === name;
    if (!forName) throw this.#damaged(subnet, name, address, 'whose lease is not for that name');
    if (value.state === 'reserved')
      return (await this.#takeReserved(asked, address, lease)) ? address : undefined;
    if (value.host !== this.#host) throw this.#inUse(asked, address, value);
    return this.#answerAgain(asked, address);
  }

  /** This host has the address for that name. */
  async #answerAgain(asked: Asked, address: IpAddress): Promise<IpAddress | undefined> {
    const { subnet, named, deadline } = asked;
    const { table, releases, committer, stepsOf, taker } = this.#deps;
    const ending = releases.underWay(subnet, address);
    if (ending !== undefined) {
      await within(ending, deadline, 'the release of the same address');
      return undefined;
    }
    const held = table.get(subnet, address);
    if (held === undefined) return undefined;
    const owner = table.ownerOf(held);
    if (owner !== undefined) throw this.#inUse(asked, address, { ...held.value, endpointId: owner });
    // Young again, so that reconciliation does not take it for the leftover that it was.
    const { request, bootId, at } = taker.value({});
    const value: LeaseValue = { ...held.value, ...named, role: held.value.role, request, bootId, at };
    const step = stepsOf(subnet, address).replace(held.modRevision, value);
    const result = await committer.submit({ ...step, deadline });
    if (!result.succeeded) {
      // Changed meanwhile, by an operator's reservation for example: the next try compares what stands there now.
      const standing = standingLease(result);
      const same = standing?.value.request === held.value.request && standing.value.state !== 'reserved';
      if (standing !== undefined && same && table.get(subnet, address) === held)
        table.set({ ...held, ...standing });
      return undefined;
    }
    table.set({ ...held, value, modRevision: result.revision });
    return address;
  }

  async #takeReserved(asked: Asked, address: IpAddress, reserved: HeldValue): Promise<boolean> {
    const { subnet, deadline, named } = asked;
    const { role, keepSeconds } = reserved.value;
    const keeping = role === 'operator' ? { role, name: asked.name, keepSeconds } : named;
    const taken = await this.#withSlot(subnet, (slot) =>
      this.#deps.taker.takeReserved(subnet, address, reserved, { deadline, slot, named: keeping }),
    );
    return taken.held !== undefined;
  }

  async #takeNew(asked: Asked): Promise<IpAddress | undefined> {
    const { subnet, choice, deadline, named } = asked;
    return this.#withSlot(subnet, async (slot) => {
      const options: TakeOptions = { deadline, slot, named };
      const found = await this.#deps.turns.serve(subnet, choice, deadline, async (address) => {
        const { held, other } = await this.#deps.taker.takeForName(subnet, address, options);
        if (held !== undefined) return { address };
        // Without a lease in the way, the name has an address by now.
        return other === undefined ? { address: undefined } : undefined;
      });
      return found.address;
    });
  }

  async #tryOne(asked: Asked, address: IpAddress, nameRevision: number): Promise<IpAddress | undefined> {
    const { subnet, deadline, named } = asked;
    const { held } = await this.#withSlot(subnet, (slot) =>
      this.#deps.taker.takeForName(subnet, address, { deadline, slot, named }, nameRevision),
    );
    return held === undefined ? undefined : address;
  }

  async #withSlot<T>(subnet: Cidr, work: (slot: Slot) => Promise<T>): Promise<T> {
    const slot = this.#deps.quota.enter(subnet);
    try {
      return await work(slot);
    } finally {
      slot.end();
    }
  }

  #inUse({ subnet, name }: Asked, address: IpAddress, value: LeaseValue): Conflict {
    const endpoint =
      value.endpointId === undefined ? 'a container' : `endpoint ${value.endpointId.slice(0, 12)}`;
    return new Conflict(
      `name "${name}" of pool ${formatCidr(subnet)} has address ${formatIp(address)}, which ` +
        `${value.containerName ?? endpoint} on host ${value.host} has now: stop it first, or use another name`,
    );
  }

  #damaged(subnet: Cidr, name: string, address: IpAddress, why: string): Conflict {
    return new Conflict(
      `name "${name}" of pool ${formatCidr(subnet)} points to address ${formatIp(address)}, ${why}: ` +
        'find out with lanius store check, and mend it with --repair',
    );
  }
}
