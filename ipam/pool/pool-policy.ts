/**
 * Where an address of a pool may come from, for one host and one container: decided from the pool's value in memory,
 * before etcd is asked.
 *
 * INVARIANTS
 * - Nothing is given out automatically outside the pool's ranges, out of its excludes, or as its gateway.
 * - A selector that cannot be checked does not fit: engines before 29 do not tell the container's name.
 * - A range or pool with `select: none` is taken from by name only, and never borrowed from.
 *
 * Must not: read anything, or look at what is taken (ipam/lease/leases.ts). docs/pools.md explains it to people.
 */
import { Conflict, PoolExhausted } from '../../core/errors.ts';
import {
  type Cidr,
  cidrRange,
  formatCidr,
  type IpRange,
  parseIp,
  rangeIntersection,
  rangeSize,
  usableRange,
} from '../../core/ip.ts';
import type { PoolRangeValue, PoolValue } from '../../store/schema.ts';
import type { Choice } from '../address/choice.ts';
import { rangeOf, rangeOfOne, without } from '../address/ranges.ts';

export type Labels = Readonly<Record<string, string>>;

/** Who asks for an address. */
export interface Asking {
  /** `host.labels` of this host. */
  readonly labels: Labels;
  /** Known from engine 29 on. */
  readonly containerName?: string;
  /** `--ip-range` of the network. */
  readonly claimRange?: Cidr;
  /** `--ipam-opt range=` of the network. */
  readonly rangeName?: string;
}

/**
 * @param pool undefined if etcd has none: then the whole subnet
 * @throws Conflict if no range of the pool is for this host and container, or the named one is gone; PoolExhausted if nothing is left of
 *   those that are
 */
export function choiceFor(pool: PoolValue | undefined, subnet: Cidr, who: Asking): Choice {
  const within = (ranges: readonly IpRange[]): IpRange[] => {
    const usable = usableRange(subnet);
    const wanted =
      who.claimRange === undefined ? usable : rangeIntersection(usable, cidrRange(who.claimRange));
    const parts = ranges.map((range) => rangeIntersection(range, wanted));
    return without(
      parts.filter((range) => rangeSize(range) > 0n),
      pool === undefined ? [] : holesOf(pool),
    );
  };
  if (pool === undefined && who.rangeName !== undefined) {
    throw new Conflict(
      `${titleOf(pool, subnet)} has no range "${who.rangeName}": it is not in etcd any more: make it again with lanius pool add`,
    );
  }
  const { own, borrow } = pool === undefined ? WHOLE : selected(pool, who);
  const choice = { own: within(rangesOf(own, subnet)), borrow: within(rangesOf(borrow, subnet)) };
  if (choice.own.length > 0 || choice.borrow.length > 0) return choice;
  const wish = who.claimRange === undefined ? '' : ` inside of --ip-range ${formatCidr(who.claimRange)}`;
  throw new PoolExhausted(
    `${titleOf(pool, subnet)} has no address to give out${wish}: its ranges and excludes leave nothing there, ` +
      `change them with lanius pool set`,
  );
}

/** The parts of the pool from which anybody may get addresses: everything else is reserved or drains. */
export function openRanges(pool: PoolValue, subnet: Cidr): IpRange[] {
  const ranges = rangesOf(pool.ranges ?? 'whole', subnet);
  const usable = ranges.map((range) => rangeIntersection(range, usableRange(subnet)));
  return without(
    usable.filter((range) => rangeSize(range) > 0n),
    holesOf(pool),
  );
}

/**
 * Whether this host may have networks on the pool, which an operator may have given to hosts with certain labels.
 * @throws Conflict
 */
export function checkMayUse(pool: PoolValue, labels: Labels): void {
  if (pool.select === undefined || pool.select === 'none' || pool.borrow === true) return;
  if (fitsHost(pool.select, labels)) return;
  throw new Conflict(
    `pool ${nameOf(pool)} is for hosts with ${labelsText(pool.select)}, and this host has ${labelsText(labels)}: ` +
      `choose another pool, correct host.labels, or allow it with lanius pool set ${nameOf(pool)} --borrow`,
  );
}

/** Every label of the selector, with the same value. */
export function fitsHost(selector: Labels | undefined, labels: Labels): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}

/** Whether a text fits a pattern in which `*` stands for any text. Takes time in proportion to both lengths. */
export function fitsPattern(pattern: string, text: string): boolean {
  const [head = '', ...parts] = pattern.split('*');
  const tail = parts.pop();
  if (tail === undefined) return text === pattern;
  if (!text.startsWith(head) || text.length < head.length + tail.length || !text.endsWith(tail)) return false;
  let at = head.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - tail.length;
}

export function labelsText(labels: Labels): string {
  const texts = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return texts.length === 0 ? 'no labels' : texts.join(',');
}

/** What people call the pool. */
export function nameOf(pool: PoolValue): string {
  return pool.name ?? pool.subnet;
}

type Ranges = readonly PoolRangeValue[] | 'whole';

const WHOLE: { readonly own: Ranges; readonly borrow: Ranges } = { own: 'whole', borrow: [] };

function selected(pool: PoolValue, who: Asking): { readonly own: Ranges; readonly borrow: Ranges } {
  if (who.rangeName !== undefined) return { own: [namedRange(pool, who.rangeName, who.labels)], borrow: [] };
  if (pool.ranges === undefined) return WHOLE;
  const open = pool.ranges.filter(({ select }) => select !== 'none');
  const own = open.filter((range) => fits(range, who));
  const borrow = pool.borrow === true ? open.filter((range) => !own.includes(range)) : [];
  if (own.length > 0 || borrow.length > 0) return { own, borrow };
  throw new Conflict(noRangeText(pool, open, who));
}

/** The network chose the range, so container selectors do not matter. Where a host's do not fit, it is borrowing. */
export function namedRange(pool: PoolValue, name: string, labels: Labels): PoolRangeValue {
  const range = pool.ranges?.find((one) => one.name === name);
  if (range === undefined) {
    const names = (pool.ranges ?? []).flatMap((one) => one.name ?? []).join(', ') || 'none';
    throw new Conflict(
      `pool ${nameOf(pool)} has no range "${name}": choose another with --ipam-opt range= (it has: ${names})`,
    );
  }
  if (pool.borrow === true || fitsHost(range.hosts, labels)) return range;
  throw new Conflict(
    `range ${name} of pool ${nameOf(pool)} is for hosts with ${labelsText(range.hosts ?? {})}, and this host has ` +
      `${labelsText(labels)}: choose another range, or allow it with lanius pool set ${nameOf(pool)} --borrow`,
  );
}

function fits(range: PoolRangeValue, who: Asking): boolean {
  if (!fitsHost(range.hosts, who.labels)) return false;
  if (range.containers === undefined) return true;
  return who.containerName !== undefined && fitsPattern(range.containers, who.containerName);
}

function noRangeText(pool: PoolValue, open: readonly PoolRangeValue[], who: Asking): string {
  const name = nameOf(pool);
  if (open.length === 0) {
    return `pool ${name} has only ranges with select=none: name one with --ipam-opt range= when you create the network`;
  }
  const forHost = open.filter((range) => fitsHost(range.hosts, who.labels));
  if (forHost.length === 0) {
    return (
      `pool ${name} has no range for this host (${labelsText(who.labels)}): set host.labels, add a range with ` +
      `lanius pool set ${name} --add-range, or allow borrowing with --borrow`
    );
  }
  if (who.containerName === undefined) {
    return (
      `pool ${name} gives addresses by container name only, which this engine does not tell (29 or later does): ` +
      'name a range with --ipam-opt range= when you create the network, or give the container --ip'
    );
  }
  const patterns = forHost.map((range) => range.containers).join(', ');
  return (
    `pool ${name} has no range for the container name "${who.containerName.slice(0, 64)}" (only for ${patterns}): ` +
    `give it --ip, add a range with lanius pool set ${name} --add-range, or allow borrowing with --borrow`
  );
}

function rangesOf(ranges: Ranges, subnet: Cidr): IpRange[] {
  return ranges === 'whole' ? [cidrRange(subnet)] : ranges.map(rangeOf);
}

/**
 * What is never given out automatically. The gateway of a pool without a name is not among it: there it is only
 * what the first network brought, and reserved for as long as a network has it.
 */
function holesOf(pool: PoolValue): IpRange[] {
  const excludes = (pool.excludes ?? []).map(rangeOf);
  if (pool.name === undefined || pool.gateway === undefined) return excludes;
  return [...excludes, rangeOfOne(parseIp(pool.gateway))];
}

function titleOf(pool: PoolValue | undefined, subnet: Cidr): string {
  const text = formatCidr(subnet);
  return pool?.name === undefined ? `pool ${text}` : `pool ${pool.name} (${text})`;
}
