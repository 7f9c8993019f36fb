/**
 * `arp=preload`: which neighbours the link of an endpoint is to have. Pure; net/neighbours.ts writes them.
 *
 * Left out, and so asked for by ordinary ARP: the gateway, the endpoint's own address, whatever is no container, and
 * IPv6 unless it is certain that MACs follow from IPv6 addresses. A PERMANENT entry with a wrong MAC would cut the two
 * off from each other for good, so what is not certain is never planned. See docs/arp-preload.md.
 */
import { Unsupported } from '../core/errors.ts';
import { cidrHas, type IpAddress, type IpRange, parseInterface, parseIp, rangeSize } from '../core/ip.ts';
import { type MacPrefix, macOf } from '../core/mac.ts';
import { compareRuns, entriesOf, type NeighbourPlan, type NeighbourRun } from '../net/neighbour-plan.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { type PlannedPool, plannedRanges, rangeOfOne, rangesWithout } from './planned-range.ts';

export interface PreloadPool extends PlannedPool {
  readonly macPrefix: MacPrefix;
  /** MACs that users fixed, by address (`10.1.0.7`); also of addresses outside of the ranges. */
  readonly fixedMacs: ReadonlyMap<string, string>;
  /**
   * For IPv6: no endpoint on the pool has an IPv4 address, on any host. Only then do MACs follow from IPv6 addresses.
   * Default false.
   */
  readonly ipv6Only?: boolean;
}

/** Entries of one table. Each takes half a kilobyte of kernel memory for each container: this many, 64 MB. */
export const MOST_PRELOADED = 131_072;
/** IPv6 ranges are preloaded up to this size. */
export const MOST_PRELOADED_IPV6 = 4096;

const LOW_BITS = 32n;
const LOW_MASK = 0xffff_ffffn;

/**
 * @param pools of the network's subnets
 * @throws Unsupported if there are more than MOST_PRELOADED
 */
export function planOf(
  network: Pick<NetworkRecord, 'subnets'>,
  endpoint: Pick<EndpointRecord, 'address' | 'addressIpv6'>,
  pools: readonly PreloadPool[],
): NeighbourPlan {
  const plan = planOfAll(network, endpoint, pools);
  const entries = entriesOf(plan.runs);
  if (entries > MOST_PRELOADED) {
    throw new Unsupported(
      `arp=preload: the planned range has ${entries} addresses, and at most ${MOST_PRELOADED} are preloaded: ` +
        'choose arp=responder, or smaller ranges for the pool',
      { details: { entries } },
    );
  }
  return plan;
}

/** The same without a limit, for who need not write entries one by one. */
export function planOfAll(
  network: Pick<NetworkRecord, 'subnets'>,
  endpoint: Pick<EndpointRecord, 'address' | 'addressIpv6'>,
  pools: readonly PreloadPool[],
): NeighbourPlan {
  const asked = askedFor(network, endpoint);
  const runs = pools
    .map((pool) => ({ pool, ranges: rangesWithout(plannedRanges(pool), ofFamily(asked, pool)) }))
    .filter(({ pool, ranges }) => isCertain(pool, ranges))
    .flatMap(({ pool, ranges }) => runsOf(pool, ranges, asked));
  return { runs: runs.sort(compareRuns) };
}

/** Gateways and the endpoint's own addresses. */
function askedFor(
  { subnets }: Pick<NetworkRecord, 'subnets'>,
  { address, addressIpv6 }: Pick<EndpointRecord, 'address' | 'addressIpv6'>,
): IpAddress[] {
  const gateways = subnets.map(({ gateway }) => gateway).filter((gateway) => gateway !== undefined);
  const own = [address, addressIpv6].filter((text) => text !== undefined);
  return [...gateways.map(parseIp), ...own.map((text) => parseInterface(text).address)];
}

function ofFamily(addresses: readonly IpAddress[], { subnet }: PreloadPool): IpRange[] {
  return addresses.filter(({ family }) => family === subnet.family).map(rangeOfOne);
}

function isCertain({ subnet, ipv6Only = false }: PreloadPool, ranges: readonly IpRange[]): boolean {
  if (subnet.family === 4) return true;
  const size = ranges.reduce((sum, range) => sum + rangeSize(range), 0n);
  return ipv6Only && size <= BigInt(MOST_PRELOADED_IPV6);
}

function runsOf(pool: PreloadPool, ranges: readonly IpRange[], asked: readonly IpAddress[]): NeighbourRun[] {
  const fixed = [...pool.fixedMacs].map(([text, mac]) => ({ address: parseIp(text), mac }));
  const others = fixed.filter(
    ({ address }) => cidrHas(pool.subnet, address) && !asked.some((one) => isSame(one, address)),
  );
  const following = rangesWithout(
    ranges,
    others.map(({ address }) => rangeOfOne(address)),
  );
  return [
    ...following.flatMap((range) => followingRuns(range, pool.macPrefix)),
    ...others.map(({ address, mac }) => fixedRun(address, mac)),
  ];
}

function isSame(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.value === b.value;
}

/** MAC = f(IP); one run, but for IPv6 ranges across a border of a /96. */
function followingRuns({ family, first, last }: IpRange, prefix: MacPrefix): NeighbourRun[] {
  const runs: NeighbourRun[] = [];
  for (let start = first; start <= last; ) {
    const border = start | LOW_MASK;
    const end = border < last ? border : last;
    const ofZero = macParts(macOf(prefix, { family, value: (start >> LOW_BITS) << LOW_BITS }));
    runs.push({
      ...place({ family, value: start }),
      last: Number(end & LOW_MASK),
      macHead: ofZero.head,
      macXor: ofZero.tail,
    });
    start = end + 1n;
  }
  return runs;
}

function fixedRun(address: IpAddress, mac: string): NeighbourRun {
  const { head, tail } = macParts(mac);
  const run = place(address);
  return { ...run, last: run.first, macHead: head, macXor: (tail ^ run.first) >>> 0 };
}

function place({ family, value }: IpAddress): Pick<NeighbourRun, 'family' | 'upper' | 'first'> {
  const upper = family === 4 ? '' : (value >> LOW_BITS).toString(16).padStart(24, '0');
  return { family, upper, first: Number(value & LOW_MASK) };
}

function macParts(mac: string): { readonly head: number; readonly tail: number } {
  const digits = mac.replaceAll(':', '');
  return { head: Number.parseInt(digits.slice(0, 4), 16), tail: Number.parseInt(digits.slice(4), 16) };
}
