/**
 * Two addresses of one segment that have the same MAC: a switch sends the frames of both to the one that spoke last. MACs
 * that follow from addresses are different by themselves, so at least one of two equal ones is an exception, and only the
 * exceptions need be looked at. Pure.
 */
import { type Cidr, cidrHas, formatIp, type IpAddress } from '../../core/ip.ts';
import { type MacPrefix, macOf } from '../../core/mac.ts';

/** A pool on the segment. */
export interface AuditedPool {
  readonly subnet: Cidr;
  readonly macPrefix: MacPrefix;
  /** By address. */
  readonly fixedMacs: ReadonlyMap<string, string>;
}

export interface SharedMac {
  readonly mac: string;
  /** Known to have it. */
  readonly addresses: readonly string[];
  /** Has it, too, if the address is leased. */
  readonly ifLeased: readonly { readonly subnet: Cidr; readonly address: IpAddress }[];
}

export function sharedMacs(pools: readonly AuditedPool[]): SharedMac[] {
  const byMac = new Map<string, Set<string>>();
  for (const { fixedMacs } of pools) {
    for (const [address, mac] of fixedMacs) {
      const addresses = byMac.get(mac) ?? new Set();
      byMac.set(mac, addresses.add(address));
    }
  }
  return [...byMac].flatMap(([mac, known]): SharedMac[] => {
    const ifLeased = pools.flatMap((pool) => followingAddress(mac, pool));
    if (known.size + ifLeased.length < 2) return [];
    return [{ mac, addresses: [...known], ifLeased }];
  });
}

/** The address of the pool whose MAC is this one, unless it has another by exception. */
function followingAddress(mac: string, { subnet, macPrefix, fixedMacs }: AuditedPool): SharedMac['ifLeased'] {
  if (subnet.family !== 4) return [];
  const address = { family: 4, value: BigInt(`0x${mac.replaceAll(':', '').slice(4)}`) } as const;
  if (!cidrHas(subnet, address) || fixedMacs.has(formatIp(address))) return [];
  return macOf(macPrefix, address) === mac ? [{ subnet, address }] : [];
}
