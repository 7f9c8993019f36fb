/**
 * Claims: what this host's engine holds of pools, one for each RequestPool that was answered. The engine keeps
 * the PoolID in its own database for ever and never asks again, so claims are on the host's disk.
 *
 * The PoolID says it all, `<subnet>[,<range>]#<n>`: should the record be lost, it is made again from the id.
 * n makes ids of equal claims different, so a ReleasePool that comes twice cannot take another network's claim.
 */
import { InvalidRequest } from '../core/errors.ts';
import {
  type Cidr,
  cidrRange,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpRange,
  parseCidr,
  rangeIntersection,
  usableRange,
} from '../core/ip.ts';
import type { ClaimRecord } from '../store/host-records.ts';

export function poolIdOf(subnet: Cidr, range: Cidr | undefined, n: number): string {
  return `${formatCidr(subnet)}${range === undefined ? '' : `,${formatCidr(range)}`}#${n}`;
}

/** @throws InvalidRequest for an id that is not ours */
export function parsePoolId(poolId: string): { readonly subnet: Cidr; readonly range: Cidr | undefined } {
  const match = /^([^,#]+)(?:,([^,#]+))?#\d+$/.exec(poolId);
  if (match?.[1] === undefined) {
    throw new InvalidRequest(`pool id "${poolId.slice(0, 80)}" is unknown: it was not made by this plugin`);
  }
  return { subnet: parseCidr(match[1]), range: match[2] === undefined ? undefined : parseCidr(match[2]) };
}

/** False for an id that cannot be ours, so that nothing can stand under it. */
export function isPoolId(poolId: string): boolean {
  try {
    parsePoolId(poolId);
    return true;
  } catch {
    return false;
  }
}

/** The smallest number that makes the id new. */
export function newPoolId(subnet: Cidr, range: Cidr | undefined, taken: (poolId: string) => boolean): string {
  for (let n = 1; ; n += 1) {
    const poolId = poolIdOf(subnet, range, n);
    if (!taken(poolId)) return poolId;
  }
}

/** The addresses that may be chosen automatically for a claim. */
export function choiceRange(subnet: Cidr, range: Cidr | undefined): IpRange {
  const usable = usableRange(subnet);
  return range === undefined ? usable : rangeIntersection(usable, cidrRange(range));
}

export function isHeld(claim: ClaimRecord, address: IpAddress): boolean {
  const text = formatIp(address);
  return claim.held.some((held) => held.address === text);
}

export function withHeld(claim: ClaimRecord, address: IpAddress, role: 'gateway' | 'aux'): ClaimRecord {
  return isHeld(claim, address)
    ? claim
    : { ...claim, held: [...claim.held, { address: formatIp(address), role }] };
}

export function withoutHeld(claim: ClaimRecord, address: IpAddress): ClaimRecord {
  const text = formatIp(address);
  return { ...claim, held: claim.held.filter((held) => held.address !== text) };
}
