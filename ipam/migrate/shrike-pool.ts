/**
 * The pool that takes the place of one of Shrike's networks, as an operator would wish it. Pure.
 *
 * It is made closed: nothing is given out of it until every address that may be in use is reserved, whatever happens to the
 * import meanwhile.
 */
import {
  type Cidr,
  cidrHas,
  cidrRange,
  formatCidr,
  formatIp,
  type IpAddress,
  rangeHas,
  usableRange,
} from '../../core/ip.ts';
import type { PoolValue } from '../../store/schema.ts';
import { formatRange, rangeOf } from '../address/ranges.ts';
import { type PoolWishes, withWishes } from '../pool/pool-settings.ts';
import { byValue, coverOf, runsOf } from './address-runs.ts';
import type { ShrikeNetwork, ShrikeTree } from './shrike-tree.ts';

/** Of a pool: ipam/pool/pool-settings.ts. */
const MOST_RANGES = 64;

/** Its settings: ranges of what Shrike gives out, without what physical hosts have. */
export function wishesFor(network: ShrikeNetwork, tree: ShrikeTree): PoolWishes {
  const { subnet } = network;
  const all = [...network.free, ...network.assigned].toSorted(byValue);
  const { ranges, holes } = coverOf(runsOf(all), MOST_RANGES);
  const hosts = runsOf(
    [...tree.hosts, ...tree.hostsToCome].filter((one) => cidrHas(subnet, one)).toSorted(byValue),
  );
  const gateway = gatewayIn(tree, subnet);
  return {
    ...(gateway === undefined ? {} : { gateway: formatIp(gateway) }),
    // The MACs of Shrike's containers do not follow from their addresses.
    defaults: ['arp=off'],
    // None at all is the whole subnet for a pool, and for Shrike no address.
    ranges: ranges.map(formatRange),
    excludes: (ranges.length === 0 ? [cidrRange(subnet)] : [...hosts, ...holes]).map(formatRange),
  };
}

/** The gateway of Shrike's hosts, if containers of this subnet can use it. */
export function gatewayIn({ gateway }: ShrikeTree, subnet: Cidr): IpAddress | undefined {
  if (gateway === undefined || !cidrHas(subnet, gateway)) return undefined;
  return rangeHas(usableRange(subnet), gateway) ? gateway : undefined;
}

/** As it will be once it is made. @throws InvalidRequest if it cannot be made like that */
export function poolOf(subnet: Cidr, name: string, wishes: PoolWishes): PoolValue {
  return withWishes({ v: 1, subnet: formatCidr(subnet), madeBy: '', at: 0, name }, wishes);
}

/** Whether the pool is as {@link closedWishes} makes it: an import did not come to its end. */
export function isClosed(pool: PoolValue, subnet: Cidr, name: string): boolean {
  const whole = formatRange(cidrRange(subnet));
  const [exclude, ...others] = pool.excludes ?? [];
  if (pool.name !== name || pool.subnet !== formatCidr(subnet)) return false;
  return exclude !== undefined && others.length === 0 && formatRange(rangeOf(exclude)) === whole;
}

/** For people, in one line. */
export function describePool(
  { gateway, ranges = [], excludes = [] }: PoolWishes,
  unfinished: boolean,
): string {
  const parts = [
    `ranges ${listed(ranges)}`,
    `excludes ${listed(excludes)}`,
    `gateway ${gateway ?? 'none'}`,
    'arp off',
    ...(unfinished ? ['an earlier import did not come to its end'] : []),
  ];
  return parts.join('; ');
}

function listed(texts: readonly string[]): string {
  if (texts.length === 0) return 'none';
  return texts.length > 8 ? `${texts.slice(0, 8).join(', ')} and ${texts.length - 8} more` : texts.join(', ');
}

/** As an import leaves it that did not come to its end. */
export function closedWishes(wishes: PoolWishes, subnet: Cidr): PoolWishes {
  return { ...wishes, excludes: [formatCidr(subnet)] };
}
