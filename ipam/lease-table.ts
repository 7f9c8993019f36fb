/**
 * What this host holds, in memory: one entry for each lease that etcd has confirmed. Asked on the way of a
 * container instead of etcd.
 */
import type { Cidr, IpAddress } from '../core/ip.ts';
import type { KeyValue } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import { decode, type LeaseValue, leaseSchema } from '../store/schema.ts';

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
  /** Endpoints that came with the address, by key; of the lease with that create revision only. */
  readonly #owners = new Map<string, { readonly createRevision: number; readonly endpointId: string }>();

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  get(subnet: Cidr, address: IpAddress): HeldLease | undefined {
    return this.#held.get(this.keyOf(subnet, address));
  }

  list(): HeldLease[] {
    return [...this.#held.values()];
  }

  set(held: HeldLease): void {
    this.#held.set(this.keyOf(held.subnet, held.address), held);
  }

  /** Removes this very lease; a later one of the same address stays. */
  forget(held: HeldLease): void {
    const key = this.keyOf(held.subnet, held.address);
    if (this.#held.get(key)?.createRevision !== held.createRevision) return;
    this.#held.delete(key);
    this.#owners.delete(key);
  }

  /**
   * Notes that this endpoint has the lease: each lease is one endpoint's, or two containers of this host would have
   * one address.
   * @returns the endpoint that has it already, if it is another one; then nothing is noted
   */
  own(held: HeldLease, endpointId: string): string | undefined {
    const key = this.keyOf(held.subnet, held.address);
    const noted = this.#owners.get(key);
    const owner = noted?.createRevision === held.createRevision ? noted.endpointId : held.value.endpointId;
    if (owner !== undefined && owner !== endpointId) return owner;
    this.#owners.set(key, { createRevision: held.createRevision, endpointId });
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
}
