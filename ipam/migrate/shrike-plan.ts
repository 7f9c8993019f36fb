/**
 * What becomes of one of Shrike's networks: a pool, reservations of the addresses that its containers may have, and nothing
 * for the rest. Pure; ipam/migrate/shrike-import.ts reads, writes and tells.
 *
 * INVARIANTS
 * - An address that a container of Shrike's may have is reserved, or there is a conflict that says why not.
 * - What stands in etcd is never changed: settings of pools, leases, other reservations.
 * - The plan of what has been carried out orders nothing.
 */
import { DriverError } from '../../core/errors.ts';
import {
  type Cidr,
  cidrHas,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpRange,
  parseCidr,
  parseIp,
} from '../../core/ip.ts';
import type { LeaseValue, PoolValue } from '../../store/schema.ts';
import { formatRange } from '../address/ranges.ts';
import { holderText } from '../lease/lease-steps.ts';
import { checkReservable, withReservation } from '../people/reservation-rules.ts';
import { nameOf, openRanges } from '../pool/pool-policy.ts';
import type { PoolWishes } from '../pool/pool-settings.ts';
import { byValue, gapsOf, runsOf } from './address-runs.ts';
import type { OldUser, ShrikeEvidence } from './shrike-evidence.ts';
import { describePool, gatewayIn, isClosed, poolOf, wishesFor } from './shrike-pool.ts';
import type { ShrikeNetwork, ShrikeTree } from './shrike-tree.ts';

/**
 * make: a pool; reserve: an address for its container; free: may be given out; leave: not given out, and nothing is written;
 * stands: it is so already, or cared for by something else; conflict: a person has to look.
 */
export const SHRIKE_ACTIONS = ['make', 'reserve', 'free', 'leave', 'stands', 'conflict'] as const;

export interface ShrikeDecision {
  /** Subnet of the pool. */
  readonly pool: string;
  /** Address, range, or `pool`. */
  readonly object: string;
  readonly action: (typeof SHRIKE_ACTIONS)[number];
  /** One line. */
  readonly reason: string;
  /** Of a reservation or a new pool. */
  readonly name?: string;
}

/** What etcd has where a network of Shrike's is to go. */
export interface Standing {
  /** The pool that holds the subnet, as it is or larger. */
  readonly pool: PoolValue | undefined;
  /** Why there can be no pool: another one lies across, or is damaged. */
  readonly obstacle: string | undefined;
  /** By canonical text; null: its value is damaged. */
  readonly leases: ReadonlyMap<string, LeaseValue | null>;
}

export interface NetworkPlan {
  /** Pool to be made, and its settings. It is made closed, and opened when all reservations stand. */
  readonly pool?: { readonly name: string; readonly wishes: PoolWishes; readonly decision: ShrikeDecision };
  readonly decisions: readonly ShrikeDecision[];
}

const MOST_NAME = 64;

/** @param name for a pool that has to be made */
export function planNetwork(
  network: ShrikeNetwork,
  source: { readonly tree: ShrikeTree; readonly evidence: ShrikeEvidence; readonly name: string },
  standing: Standing,
): NetworkPlan {
  const { evidence, name } = source;
  // A host that has given a list is one, also where Shrike does not name it.
  const tree = { ...source.tree, hosts: [...source.tree.hosts, ...evidence.own].toSorted(byValue) };
  const { subnet } = network;
  const poolText = standing.pool?.subnet ?? formatCidr(subnet);
  const decide = (object: string, action: ShrikeDecision['action'], reason: string, name?: string) => ({
    pool: poolText,
    object,
    action,
    reason,
    ...(name === undefined ? {} : { name }),
  });
  if (standing.obstacle !== undefined) {
    const kept = `${network.assigned.length} assigned addresses of it are not imported`;
    return { decisions: [decide('pool', 'conflict', `${standing.obstacle}; ${kept}`)] };
  }
  const wishes = wishesFor(network, tree);
  const unfinished = standing.pool !== undefined && isClosed(standing.pool, subnet, name);
  const isNew = standing.pool === undefined || unfinished;
  const made = { name, wishes, decision: decide('pool', 'make', describePool(wishes, unfinished), name) };
  let judged: PoolValue;
  try {
    judged = (isNew ? undefined : standing.pool) ?? poolOf(subnet, name, wishes);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    const byHand = 'make the pool by hand with lanius pool add, and import again';
    return { decisions: [decide('pool', 'conflict', `${error.message}; ${byHand}`)] };
  }
  const address = new AddressJudge(judged, evidence, standing.leases, decide);
  const decisions = [
    ...(isNew ? [] : [decide('pool', 'stands', `its settings stay (pool ${nameOf(judged)})`)]),
    ...arpLines(judged, decide),
    ...gatewayLines(tree, judged, subnet, decide),
    ...hostLines(tree, judged, subnet, decide),
    ...network.assigned.map((one) => address.assigned(one)),
    ...strangersOf(network, tree, evidence).map((one) => address.stranger(one, network)),
    ...freeLines(network, evidence, decide),
  ];
  return { ...(isNew ? { pool: made } : {}), decisions };
}

type Decide = (
  object: string,
  action: ShrikeDecision['action'],
  reason: string,
  name?: string,
) => ShrikeDecision;

class AddressJudge {
  readonly #pool: PoolValue;
  readonly #evidence: ShrikeEvidence;
  readonly #leases: Standing['leases'];
  readonly #decide: Decide;

  constructor(pool: PoolValue, evidence: ShrikeEvidence, leases: Standing['leases'], decide: Decide) {
    this.#pool = pool;
    this.#evidence = evidence;
    this.#leases = leases;
    this.#decide = decide;
  }

  /** An address that Shrike has given to somebody. */
  assigned(address: IpAddress): ShrikeDecision {
    const text = formatIp(address);
    const { doubt, hosts } = this.#evidence;
    const users = this.#evidence.usersOf(address);
    const there = this.#leases.get(text);
    if (users.length > 0) return this.#reserve(address, userText(users), users);
    if (doubt !== undefined) return this.#reserve(address, `assigned in Shrike, and ${doubt}`, []);
    if (there?.role === 'operator' && there.state === 'reserved') {
      const end = `lanius ip unreserve ${text} ends that`;
      return this.#decide(text, 'stands', `no container has it, but ${holderText(there)}: ${end}`);
    }
    return this.#decide(text, 'free', `assigned in Shrike, but no container of the ${hosts} hosts has it`);
  }

  /** An address that a container of Shrike's hosts has, and Shrike has not given to anybody. */
  stranger(address: IpAddress, network: ShrikeNetwork): ShrikeDecision {
    const users = this.#evidence.usersOf(address);
    const isFree = network.free.some(({ value }) => value === address.value);
    const what = isFree ? 'free in Shrike all the same' : 'unknown to Shrike';
    return this.#reserve(address, `${userText(users)}, ${what}`, users);
  }

  #reserve(address: IpAddress, why: string, users: readonly OldUser[]): ShrikeDecision {
    const text = formatIp(address);
    const there = this.#leases.get(text);
    const conflict = (reason: string) => this.#decide(text, 'conflict', `${why}; ${reason}`);
    if (there === null) return conflict('its lease in etcd is damaged: see lanius store check');
    // Also where a container of ours has it by now: it was asked for by its reservation, with --ip.
    if (there?.role === 'operator') return this.#decide(text, 'stands', `${why}; ${holderText(there)}`);
    if (there !== undefined && there.state !== 'reserved' && there.state !== 'warm') {
      const moved = users.length === 1 && users[0]?.container === there.containerName;
      if (moved) return this.#decide(text, 'stands', `${holderText(there)}: it has moved already`);
      return conflict(`${holderText(there)}, too: one of the two has to go`);
    }
    const name = reservationName(address, users[0]);
    try {
      checkReservable(parseCidr(this.#pool.subnet), address, this.#pool);
      withReservation(address, there, { ...FRESH, name });
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      return conflict(error.message);
    }
    return this.#decide(text, 'reserve', why, name);
  }
}

/** Only to ask what would become of it. */
const FRESH: LeaseValue = {
  v: 1,
  state: 'reserved',
  role: 'operator',
  host: '',
  request: '',
  bootId: '',
  at: 0,
};

/** `shrike.HOST.ADDRESS`, so that those of one host are found together. */
function reservationName(address: IpAddress, user: OldUser | undefined): string {
  const host = user === undefined ? '' : `${user.host.slice(0, MOST_NAME)}.`;
  return `shrike.${host}${formatIp(address)}`;
}

function userText(users: readonly OldUser[]): string {
  const all = users.map(({ host, container }) => `${container} on ${host}`);
  return all.length > 1
    ? `${all.join(' and ')} have it, so one of them has to go`
    : `${all[0] ?? 'a container'} has it`;
}

/** Containers of ours would take the MACs of Shrike's for those that follow from their addresses, and not reach them. */
function arpLines(pool: PoolValue, decide: Decide): ShrikeDecision[] {
  if (pool.defaults?.arp === 'off') return [];
  const remedy = `lanius pool set ${nameOf(pool)} --default arp=off`;
  return [
    decide(
      'arp',
      'leave',
      `until the last container of Shrike's is gone: ${remedy}, or networks with -o arp=off`,
    ),
  ];
}

function gatewayLines(tree: ShrikeTree, pool: PoolValue, subnet: Cidr, decide: Decide): ShrikeDecision[] {
  const { gateway } = tree;
  if (gateway === undefined || pool.gateway === formatIp(gateway)) return [];
  const reason =
    gatewayIn(tree, subnet) === undefined
      ? `the gateway of Shrike's hosts is not in subnet ${formatCidr(subnet)}: give networks another --gateway`
      : `the gateway of Shrike's hosts is not that of the pool (${pool.gateway ?? 'none'})`;
  return [decide(formatIp(gateway), 'leave', reason)];
}

/** Physical hosts: never given out; a pool that stands already may not know. */
function hostLines(tree: ShrikeTree, pool: PoolValue, subnet: Cidr, decide: Decide): ShrikeDecision[] {
  const open = openRanges(pool, parseCidr(pool.subnet));
  const lines = (addresses: readonly IpAddress[], whose: string): ShrikeDecision[] =>
    runsOf(addresses.filter((one) => cidrHas(subnet, one))).map((run) => {
      const text = formatRange(run);
      if (!isOpen(open, run)) return decide(text, 'leave', `${whose}: never given out by itself`);
      const remedy = `lanius pool set ${nameOf(pool)} --add-exclude ${text}`;
      return decide(text, 'conflict', `${whose}, and the pool gives addresses of it out: ${remedy}`);
    });
  return [...lines(tree.hosts, 'physical hosts'), ...lines(tree.hostsToCome, 'kept for physical hosts')];
}

function isOpen(open: readonly IpRange[], run: IpRange): boolean {
  return open.some(({ first, last }) => first <= run.last && run.first <= last);
}

function freeLines(network: ShrikeNetwork, evidence: ShrikeEvidence, decide: Decide): ShrikeDecision[] {
  const unused = network.free.filter((address) => evidence.usersOf(address).length === 0);
  const all = [...network.free, ...network.assigned].toSorted(byValue);
  return [
    ...runsOf(unused).map((run) => decide(formatRange(run), 'free', 'nobody had it in Shrike')),
    ...gapsOf(runsOf(all)).map((gap) =>
      decide(formatRange(gap), 'leave', 'neither free nor assigned in Shrike: outside of the ranges'),
    ),
  ];
}

/** Addresses of the subnet that containers have and Shrike does not count as given. */
function strangersOf(network: ShrikeNetwork, tree: ShrikeTree, evidence: ShrikeEvidence): IpAddress[] {
  const assigned = new Set(network.assigned.map(formatIp));
  const hosts = new Set(tree.hosts.map(formatIp));
  return evidence
    .addresses()
    .filter((text) => !assigned.has(text) && !hosts.has(text))
    .map(parseIp)
    .filter((address) => cidrHas(network.subnet, address))
    .toSorted(byValue);
}
