/**
 * Writes to a lease what became of it (asked for out of the stock, who has it, how its limits stand), some time after the
 * container's way in. Nobody waits for it. Notes of one lease that come before etcd has heard of the earlier ones are written
 * together, the newer one over the older by field; a note that says what etcd has already is not written. A note never brings
 * back a lease that was released meanwhile: it compares the mod revision, and where that has moved it looks whether the lease
 * is still the same one.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Cidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { LeaseLimits, LeaseValue } from '../../store/schema.ts';
import type { LeaseHolder } from '../address-service.ts';
import type { Committer } from '../commit/committer.ts';
import { type LeaseSteps, standingLease } from './lease-steps.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';

export interface LeaseNotesOptions {
  /** How long limits wait for the holder, to be written with it, in milliseconds. Default 10,000. */
  readonly holderWaitMs?: number;
}

export interface LeaseNotesDependencies {
  readonly table: LeaseTable;
  readonly committer: Committer;
  readonly stepsOf: (subnet: Cidr, address: IpAddress) => LeaseSteps;
  /** How the limits of an endpoint stand now, so that they come back with the holder of a lease that was lost. */
  readonly limitsOf?: ((endpointId: string) => LeaseLimits | undefined) | undefined;
  readonly logger: Logger;
}

interface Note {
  /** Of the lease that it is about; a later one of the same address is another. */
  readonly request: string;
  readonly fields: Partial<LeaseValue>;
}

interface Early {
  readonly subnet: Cidr;
  readonly address: IpAddress;
  readonly holder?: LeaseHolder;
  readonly limits?: LeaseLimits;
}

const HOLDER_WAIT_MS = 10_000;

export class LeaseNotes {
  readonly #options: LeaseNotesOptions;
  readonly #deps: LeaseNotesDependencies;
  readonly #notes = new Map<string, Note>();
  readonly #writing = new Set<string>();
  /** Limits of leases without a holder, until there is one. */
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Leases of which memory knows more than etcd has confirmed, by key: the next note is written whatever it says. */
  readonly #ahead = new Map<string, string>();
  /** What came before the leases of this host were read; undefined from then on. */
  #early: Map<string, Early> | undefined = new Map();

  constructor(options: LeaseNotesOptions, deps: LeaseNotesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** etcd does not have yet what was noted. */
  writing(subnet: Cidr, address: IpAddress): boolean {
    return this.#writing.has(this.#deps.table.keyOf(subnet, address));
  }

  /** The leases of this host have been read. */
  loaded(): void {
    const early = this.#early ?? new Map<string, Early>();
    this.#early = undefined;
    for (const { subnet, address, holder, limits } of early.values()) {
      const has = this.#deps.table.get(subnet, address)?.value.endpointId;
      // It may have ended meanwhile, and another one have the address.
      if (holder !== undefined && holder.endpointId === has) this.bound(subnet, address, holder);
      if (limits !== undefined) this.limits(subnet, address, limits);
    }
  }

  /** Who has the address. Returns at once. */
  bound(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    if (this.#isEarly({ subnet, address, holder })) return;
    const limits = this.#deps.limitsOf?.(holder.endpointId);
    this.#note(subnet, address, {
      ...holder,
      state: 'bound',
      ...(limits === undefined ? {} : { limits: written(limits) }),
    });
  }

  /** A warm lease was asked for; memory says so already. Returns at once. */
  asked(subnet: Cidr, address: IpAddress, value: LeaseValue): void {
    this.#ahead.set(this.#deps.table.keyOf(subnet, address), value.request);
    this.#note(subnet, address, { state: 'pending', at: value.at });
  }

  /** How its limits stand. Written with the holder, if that comes soon. Returns at once. */
  limits(subnet: Cidr, address: IpAddress, limits: LeaseLimits): void {
    if (this.#isEarly({ subnet, address, limits })) return;
    this.#note(subnet, address, { limits: written(limits) });
  }

  /** The lease is not known yet, and what is to be noted is kept until it is. */
  #isEarly(early: Early): boolean {
    const { subnet, address } = early;
    if (this.#early === undefined || this.#deps.table.get(subnet, address) !== undefined) return false;
    const key = this.#deps.table.keyOf(subnet, address);
    this.#early.set(key, { ...this.#early.get(key), ...early });
    return true;
  }

  #note(subnet: Cidr, address: IpAddress, fields: Partial<LeaseValue>): void {
    const { table } = this.#deps;
    const key = table.keyOf(subnet, address);
    const held = table.get(subnet, address);
    if (held === undefined) return;
    const { request, state } = held.value;
    const earlier = this.#notes.get(key);
    const note = {
      request,
      fields: { ...(earlier?.request === request ? earlier.fields : {}), ...fields },
    };
    this.#notes.set(key, note);
    if (this.#writing.has(key)) return;
    const write = (): void => {
      clearTimeout(this.#timers.get(key));
      this.#timers.delete(key);
      this.#writing.add(key);
      void this.#write(subnet, address, key);
    };
    const hasHolder = state === 'bound' || note.fields.state !== undefined;
    if (hasHolder) write();
    else if (!this.#timers.has(key))
      this.#timers.set(key, setTimeout(write, this.#options.holderWaitMs ?? HOLDER_WAIT_MS).unref());
  }

  async #write(subnet: Cidr, address: IpAddress, key: string): Promise<void> {
    try {
      for (;;) {
        const note = this.#notes.get(key);
        const held = this.#deps.table.get(subnet, address);
        if (note === undefined || held?.value.request !== note.request) return;
        if (this.#says(held, note, key)) await this.#putPatiently(held, note);
        if (this.#notes.get(key) === note) return;
      }
    } catch (error) {
      this.#deps.logger.warn('the holder of a lease could not be written', { err: error });
    } finally {
      this.#notes.delete(key);
      this.#writing.delete(key);
    }
  }

  /** It says something that etcd may not have. */
  #says(held: HeldLease, note: Note, key: string): boolean {
    if (this.#ahead.get(key) === note.request) return true;
    return !isDeepStrictEqual(asWritten({ ...held.value, ...note.fields }), asWritten(held.value));
  }

  /** Once more where the lease has changed: an own note whose answer was lost, or an operator's change. */
  async #putPatiently(held: HeldLease, { fields }: Note): Promise<void> {
    const found = await this.#put(held, fields);
    if (found === undefined || (await this.#put(found, fields)) === undefined) return;
    this.#deps.logger.debug('a note on a lease is given up, it changes too often', {
      address: formatIp(held.address),
    });
  }

  /** @returns the lease as it stands, if it is still the same one and was not as expected */
  async #put(held: HeldLease, note: Partial<LeaseValue>): Promise<HeldLease | undefined> {
    const { committer, stepsOf, logger } = this.#deps;
    const { subnet, address } = held;
    const key = this.#deps.table.keyOf(subnet, address);
    const value: LeaseValue = { ...held.value, ...note };
    const result = await committer.submit(stepsOf(subnet, address).replace(held.modRevision, value));
    if (result.succeeded) {
      this.#ahead.delete(key);
      this.#learn({ ...held, value, modRevision: result.revision });
      return undefined;
    }
    const standing = standingLease(result);
    const same = standing?.value.request === held.value.request && standing.value.state !== 'reserved';
    if (standing === undefined || !same) {
      this.#ahead.delete(key);
      logger.debug('a note on a lease is given up, the lease has ended', { address: formatIp(address) });
      return undefined;
    }
    const found = { ...held, ...standing };
    this.#ahead.set(key, held.value.request);
    this.#learn({ ...found, value: { ...found.value, ...note } });
    return found;
  }

  #learn(held: HeldLease): void {
    const { table } = this.#deps;
    const known = table.get(held.subnet, held.address);
    if (known?.value.request === held.value.request && known.modRevision <= held.modRevision) table.set(held);
  }
}

/** A lease without limits says nothing of them. */
function written(limits: LeaseLimits): LeaseLimits | undefined {
  return limits.in === undefined && limits.out === undefined ? undefined : limits;
}

/** As etcd has it: without what is undefined. */
function asWritten(value: LeaseValue): unknown {
  return JSON.parse(JSON.stringify(value));
}
