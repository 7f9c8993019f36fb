/** One string for an address of a pool, to look it up by in memory; it is no key of etcd. */
import type { Cidr, IpAddress } from '../../core/ip.ts';

/** An address and the pool that it is of. */
export interface PoolAddress {
  readonly subnet: Cidr;
  readonly address: IpAddress;
}

/** For machines only, because it is made ten thousand times a look: hexadecimal. */
export function addressKey({ subnet, address }: PoolAddress): string {
  return `${subnet.family} ${subnet.base.toString(16)}/${subnet.prefixLength} ${address.value.toString(16)}`;
}
