/**
 * What this host holds, in memory: one entry for each lease that etcd has confirmed. Asked on the way of a
 * container instead of etcd.
 *
 * Two leases of one address, one after the other, are told apart by their `request`: a reserved address keeps its key
 * in etcd, and its create revision, from one lease to the next.
 */
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { KeyValue } from '../../store/kv.ts';
import { type Layout, poolKeyOf } from '../../store/layout.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';

export interface HeldLease {
  readonly subnet: Cidr;
  readonly address: IpAddress;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly value: LeaseValue;
}

export class LeaseTable {
  readonly #layout: Layout;
  readonly #held = new Map<string, HeldLease>();
  readonly #counts = new Map<string, number>();
  /** Endpoints that came with the address, by key; of the lease of that request only. */
  readonly #owners = new Map<string, { readonly request: string; readonly endpointId: string }>();

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  get(subnet: Cidr, address: IpAddress): HeldLease | undefined {
    return this.#held.get(this.keyOf(subnet, address));
  }

  list(): HeldLease[] {
    return [...this.#held.values()];
  }

  /** How many this host holds of a pool. */
  countOf(subnet: Cidr): number {
    return this.#counts.get(poolKeyOf(subnet)) ?? 0;
  }

  set(held: HeldLease): void {
    const key = this.keyOf(held.subnet, held.address);
    if (!this.#held.has(key)) this.#count(held.subnet, 1);
    this.#held.set(key, held);
  }

  /** Removes this very lease; a later one of the same address stays. */
  forget(held: HeldLease): void {
    const key = this.keyOf(held.subnet, held.address);
    if (this.#held.get(key)?.value.request !== held.value.request) return;
    this.#held.delete(key);
    this.#owners.delete(key);
    this.#count(held.subnet, -1);
  }

  /** The endpoint that has the lease, as far as is known. */
  ownerOf(held: HeldLease): string | undefined {
    const noted = this.#owners.get(this.keyOf(held.subnet, held.address));
    return noted?.request === held.value.request ? noted.endpointId : held.value.endpointId;
  }

  /**
   * Notes that this endpoint has the lease: each lease is one endpoint's, or two containers of this host would have
   * one address.
   * @returns the endpoint that has it already, if it is another one; then nothing is noted
   */
  own(held: HeldLease, endpointId: string): string | undefined {
    const owner = this.ownerOf(held);
    if (owner !== undefined && owner !== endpointId) return owner;
    const { request } = held.value;
    this.#owners.set(this.keyOf(held.subnet, held.address), { request, endpointId });
    return undefined;
  }

  /** The lease's key in etcd: one string for pool and address. */
  keyOf(subnet: Cidr, address: IpAddress): string {
    return this.#layout.lease(subnet, address);
  }

  /** A lease as etcd has it. @throws InternalError if the value is damaged */
  read(kv: KeyValue): HeldLease {
    const { subnet, address } = this.#layout.addressOf(kv.key);
    const value = decode(leaseSchema, kv.key, kv.value);
    return { subnet, address, createRevision: kv.createRevision, modRevision: kv.modRevision, value };
  }

  #count(subnet: Cidr, more: number): void {
    const pool = poolKeyOf(subnet);
    const count = this.countOf(subnet) + more;
    if (count > 0) this.#counts.set(pool, count);
    else this.#counts.delete(pool);
  }
}
