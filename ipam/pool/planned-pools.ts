/**
 * What every container of a network may take for granted of MACs: for each pool of the network the addresses that Lanius
 * gives out, those among them whose MAC is another than the one that follows from the address, and those that belong to
 * machines. From memory.
 *
 * Planned are the addresses that this host's networks give out: the ranges of the pool, else the `--ip-range` of the network,
 * else the whole subnet. What lies outside, or is excluded, may be any machine.
 */
import {
  type Cidr,
  cidrRange,
  formatCidr,
  formatIp,
  type IpRange,
  parseCidr,
  rangeIntersection,
  rangeSize,
} from '../../core/ip.ts';
import { type MacPrefix, parseMacPrefix } from '../../core/mac.ts';
import type { ClaimRecord } from '../../store/host-records.ts';
import type { PoolValue } from '../../store/schema.ts';
import { rangeOfOne } from '../address/ranges.ts';
import type { MacBook } from '../mac/mac-book.ts';
import type { PoolBook } from './pool-book.ts';
import { openRanges } from './pool-policy.ts';

export interface PlannedPoolInfo {
  readonly subnet: Cidr;
  /** Disjoint; none: the whole subnet. */
  readonly ranges: readonly IpRange[];
  readonly excludes: readonly IpRange[];
  readonly macPrefix: MacPrefix;
  /** By address. */
  readonly fixedMacs: ReadonlyMap<string, string>;
}

export type ArpDefault = 'auto' | 'preload' | 'responder' | 'off';

export interface PlannedNetworkInfo {
  readonly pools: readonly PlannedPoolInfo[];
  /** `lanius pool set --default arp=` of the first pool that has one. */
  readonly wish?: ArpDefault;
}

export interface PlannedPoolsDependencies {
  readonly book: Pick<PoolBook, 'get' | 'ready' | 'onChange'>;
  readonly macs: Pick<MacBook, 'of' | 'ready' | 'onChange'>;
  readonly claims: { list(): readonly ClaimRecord[] };
}

const WISHES: readonly ArpDefault[] = ['auto', 'preload', 'responder', 'off'];

export class PlannedPools {
  readonly #macPrefix: MacPrefix;
  readonly #deps: PlannedPoolsDependencies;
  /** By network; forgotten when anything changes. */
  readonly #known = new Map<string, { readonly claimed: string; readonly info: PlannedNetworkInfo }>();

  /** @param options.macPrefix of pools that have none */
  constructor({ macPrefix }: { readonly macPrefix: MacPrefix }, deps: PlannedPoolsDependencies) {
    this.#macPrefix = macPrefix;
    this.#deps = deps;
    deps.book.onChange(() => this.#known.clear());
    deps.macs.onChange(() => this.#known.clear());
  }

  /** @returns undefined as long as not all is known; the same object until something changes */
  of({
    networkId,
    subnets,
  }: {
    readonly networkId: string;
    readonly subnets: readonly { readonly subnet: string }[];
  }): PlannedNetworkInfo | undefined {
    const { book, macs } = this.#deps;
    if (!book.ready || !macs.ready) return undefined;
    const ofNetwork = this.#deps.claims.list().filter((claim) => claim.networkId === networkId);
    const claimed = ofNetwork.map(({ poolId }) => poolId).join(' ');
    const known = this.#known.get(networkId);
    if (known?.claimed === claimed) return known.info;
    const values = subnets.map(({ subnet }) => book.get(parseCidr(subnet)));
    // It cannot be read, or was lost: what is excluded from it is not known.
    if (values.includes(undefined)) return undefined;
    const wish = values
      .map((pool) => WISHES.find((one) => one === pool?.defaults?.arp))
      .find((one) => one !== undefined);
    const info = {
      pools: subnets.map(({ subnet }, index) => this.#poolOf(ofNetwork, parseCidr(subnet), values[index])),
      ...(wish === undefined ? {} : { wish }),
    };
    this.#known.set(networkId, { claimed, info });
    return info;
  }

  #poolOf(ofNetwork: readonly ClaimRecord[], subnet: Cidr, pool: PoolValue | undefined): PlannedPoolInfo {
    const { fixed, ordinary } = this.#deps.macs.of(subnet);
    const open = pool === undefined ? [] : openRanges(pool, subnet);
    const ranges = pool?.ranges === undefined ? claimedOf(ofNetwork, subnet, open) : open;
    const nothing = ranges.length === 0 ? [cidrRange(subnet)] : [];
    return {
      subnet,
      ranges,
      excludes: [...ordinary.map(rangeOfOne), ...nothing],
      macPrefix: pool?.macPrefix === undefined ? this.#macPrefix : parseMacPrefix(pool.macPrefix),
      fixedMacs: new Map(fixed.map(({ address, mac }) => [formatIp(address), mac])),
    };
  }
}

/** Beside an `--ip-range` there may be machines that no lease is known of. */
function claimedOf(claims: readonly ClaimRecord[], subnet: Cidr, open: readonly IpRange[]): IpRange[] {
  const text = formatCidr(subnet);
  const claim = claims.find((one) => one.subnet === text && one.range !== undefined);
  if (claim?.range === undefined) return [...open];
  const wanted = cidrRange(parseCidr(claim.range));
  return open.map((range) => rangeIntersection(range, wanted)).filter((range) => rangeSize(range) > 0n);
}
