/**
 * Claims: what this host's engine holds of pools, one for each RequestPool that was answered. The engine keeps
 * the PoolID in its own database for ever and never asks again, so claims are on the host's disk.
 *
 * The PoolID says it all, `<subnet>[,<range>][;range=NAME][;sticky=true|false]#<n>`: should the record be lost, it is
 * made again from the id. n makes ids of equal claims different, so a ReleasePool that comes twice cannot take another
 * network's claim.
 */
import { InvalidRequest } from '../../core/errors.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr } from '../../core/ip.ts';
import type { ClaimRecord } from '../../store/host-records.ts';

/** What a network wants of a pool. */
export interface ClaimTerms {
  readonly subnet: Cidr;
  /** `--ip-range` */
  readonly range?: Cidr | undefined;
  /** `--ipam-opt range=`: one range of the pool, by its name. */
  readonly rangeName?: string | undefined;
  /** `--ipam-opt sticky=`; absent: as the pool says. */
  readonly sticky?: boolean | undefined;
}

export function poolIdOf({ subnet, range, rangeName, sticky }: ClaimTerms, n: number): string {
  const words = [
    range === undefined ? '' : `,${formatCidr(range)}`,
    rangeName === undefined ? '' : `;range=${rangeName}`,
    sticky === undefined ? '' : `;sticky=${sticky}`,
  ];
  return `${formatCidr(subnet)}${words.join('')}#${n}`;
}

const POOL_ID = /^([^,;#]+)(?:,([^,;#]+))?(?:;range=([A-Za-z0-9._-]+))?(?:;sticky=(true|false))?#\d+$/;

/** @throws InvalidRequest for an id that is not ours */
export function parsePoolId(poolId: string): ClaimTerms {
  const [, subnet, range, rangeName, sticky] = POOL_ID.exec(poolId) ?? [];
  if (subnet === undefined) {
    throw new InvalidRequest(`pool id "${poolId.slice(0, 80)}" is unknown: it was not made by this plugin`);
  }
  return {
    subnet: parseCidr(subnet),
    range: range === undefined ? undefined : parseCidr(range),
    rangeName,
    sticky: sticky === undefined ? undefined : sticky === 'true',
  };
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
export function newPoolId(terms: ClaimTerms, taken: (poolId: string) => boolean): string {
  for (let n = 1; ; n += 1) {
    const poolId = poolIdOf(terms, n);
    if (!taken(poolId)) return poolId;
  }
}

/** A new record of the claim, which holds no address yet. */
export function claimOf(poolId: string, createdAt: number): ClaimRecord {
  const { subnet, range, rangeName, sticky } = parsePoolId(poolId);
  return {
    v: 1,
    poolId,
    subnet: formatCidr(subnet),
    ...(range === undefined ? {} : { range: formatCidr(range) }),
    ...(rangeName === undefined ? {} : { rangeName }),
    ...(sticky === undefined ? {} : { sticky }),
    held: [],
    createdAt,
  };
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
