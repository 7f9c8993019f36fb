/**
 * Addresses that this host released and that are kept for their names, as they stand in etcd: a container that comes
 * again under its name needs no read. Only a guess; the transaction compares the revision.
 */
import { type Cidr, formatCidr, type IpAddress } from '../../core/ip.ts';
import type { HeldValue } from './lease-steps.ts';

export interface KeptAddress {
  readonly address: IpAddress;
  readonly reserved: HeldValue;
}

const MOST_NAMES = 1024;

export class NameMemory {
  readonly #kept = new Map<string, KeptAddress>();

  remember(subnet: Cidr, name: string, kept: KeptAddress): void {
    const id = idOf(subnet, name);
    this.#kept.delete(id);
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined && this.#kept.size >= MOST_NAMES) this.#kept.delete(oldest);
    this.#kept.set(id, kept);
  }

  /** What is remembered, once. */
  take(subnet: Cidr, name: string): KeptAddress | undefined {
    const id = idOf(subnet, name);
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    return kept;
  }
}

function idOf(subnet: Cidr, name: string): string {
  return `${formatCidr(subnet)} ${name}`;
}
