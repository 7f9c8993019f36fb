/**
 * Pools as operators make, change and remove them. Every change is one transaction that compares what was read, so two
 * operators cannot undo each other, and the same order twice is done once.
 *
 * Overlap rules between pools, held here and in pools.ts: subnets never overlap unless they are equal, which is the same
 * pool; names are unique; the configured pools of this host count as well. A pool is in one VLAN, so that cannot
 * change while networks stand on it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { Conflict, InvalidRequest, StoreUnavailable } from '../../core/errors.ts';
import { type Cidr, cidrSize, cidrsOverlap, formatCidr, parseCidr, parseIp } from '../../core/ip.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, leaseSchema, type PoolValue } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { Step } from '../commit/step.ts';
import { holderText } from '../lease/lease-steps.ts';
import type { ConfiguredPool } from './configured-pools.ts';
import type { PoolBook } from './pool-book.ts';
import { type KnownPool, poolNamed, readPools, type SeenPool } from './pool-lookup.ts';
import { nameOf } from './pool-policy.ts';
import { type PoolReport, reportOf } from './pool-report.ts';
import { type PoolWishes, withWishes } from './pool-settings.ts';
import { overlapping, type PoolSteps, poolSteps } from './pool-steps.ts';
import { parseName } from './pool-words.ts';
import { isShared } from './pools.ts';

export interface PoolAdminOptions {
  readonly host: string;
  readonly configuredPools: readonly ConfiguredPool[];
}

export interface PoolAdminDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly book: PoolBook;
  readonly clock: Clock;
}

/** What has come of an order. */
export interface PoolOutcome {
  readonly pool: PoolValue;
  /** False if it was so already. */
  readonly changed: boolean;
}

export interface PoolAdministration {
  add(name: string, subnet: string, wishes: PoolWishes): Promise<PoolOutcome>;
  set(pool: string, wishes: PoolWishes): Promise<PoolOutcome>;
  remove(pool: string): Promise<PoolOutcome>;
  show(pool: string): Promise<PoolReport>;
}

const TIMEOUT_MS = 4000;
/** A gateway and a container, beside network and broadcast address: what is smaller is a mistake in writing. */
const LEAST_SIZE = 4n;
/** This network, loopback, multicast, link-local. @see RFC 6890; RFC 4291 section 2.4 */
const NOT_FOR_HOSTS = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4', '::/127', 'fe80::/10', 'ff00::/8'];

export class PoolAdmin implements PoolAdministration {
  readonly #options: PoolAdminOptions;
  readonly #deps: PoolAdminDependencies;
  readonly #steps: PoolSteps;

  constructor(options: PoolAdminOptions, deps: PoolAdminDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#steps = poolSteps(deps.layout, options.host);
  }

  /**
   * Makes a pool, or gives one that a `docker network create` has made to the operators, with its gateway. The same
   * again is fine. A pool whose value is damaged is written anew. @param subnet host bits are cleared
   * @throws InvalidRequest; Conflict if the name or a part of the subnet is another pool's, or the pool has other settings
   */
  add(name: string, subnet: string, wishes: PoolWishes): Promise<PoolOutcome> {
    parseName('pool', name);
    const cidr = parseCidr(subnet);
    refuseUnfit(name, cidr);
    return this.#again(`pool ${name}`, async (deadline) => {
      const { kv, layout, clock } = this.#deps;
      const poolset = (await kv.range({ key: layout.poolset })).kvs[0];
      const pools = await readPools(kv, layout);
      const standing = pools.find(({ kv: { key } }) => key === layout.pool(cidr));
      this.#refuseOverlap(name, cidr, pools);
      const fresh: PoolValue = {
        v: 1,
        subnet: formatCidr(cidr),
        madeBy: this.#options.host,
        at: clock.wall(),
        name,
      };
      if (standing?.value?.name !== undefined) {
        const { madeBy, at } = standing.value;
        return sameOrRefused(standing.value, withWishes({ ...fresh, madeBy, at }, wishes));
      }
      const base = standing?.value === undefined ? fresh : { ...standing.value, name };
      const pool = withWishes(base, wishes);
      const damaged = standing !== undefined && standing.value === undefined;
      const unused = !damaged && pool.vlan !== standing?.value?.vlan;
      if (unused && standing !== undefined) await this.#refuseUsed(standing, 'its VLAN cannot be set');
      await this.#refuseHeldGateway(pool, standing?.value?.gateway);
      const step = this.#steps.define(pool, { poolset, pool: standing?.kv }, { unused });
      return await this.#put(pool, step, deadline);
    });
  }

  /** Changes what is named, all or nothing. @throws NotFound, InvalidRequest, Conflict */
  set(name: string, wishes: PoolWishes): Promise<PoolOutcome> {
    return this.#again(`pool ${name}`, async (deadline) => {
      const known = await this.#managed(name, 'has no settings');
      const pool = withWishes(known.value, wishes);
      if (isDeepStrictEqual(pool, known.value)) return { pool, changed: false };
      const unused = pool.vlan !== known.value.vlan;
      if (unused) await this.#refuseUsed(known, 'its VLAN cannot change');
      await this.#refuseHeldGateway(pool, known.value.gateway);
      return await this.#put(pool, this.#steps.change(known.kv, pool, { unused }), deadline);
    });
  }

  /** @throws NotFound; Conflict while networks or leases stand in it, with their counts and hosts */
  remove(name: string): Promise<PoolOutcome> {
    return this.#again(`pool ${name}`, async (deadline) => {
      const { committer, book } = this.#deps;
      const known = await this.#managed(name, 'goes by itself with the last network');
      await this.#refuseUsed(known, 'it cannot be removed');
      await this.#refuseLeased(known);
      const result = await committer.submit({ ...this.#steps.remove(known.kv), deadline });
      if (!result.succeeded) return undefined;
      book.note(known.subnet, undefined, result.revision);
      return { pool: known.value, changed: true };
    });
  }

  /** @throws NotFound */
  async show(name: string): Promise<PoolReport> {
    const { kv, layout } = this.#deps;
    const { value } = poolNamed(await readPools(kv, layout), name);
    return await reportOf(value, { kv, layout });
  }

  /** Until nobody has changed anything between reading and writing. */
  async #again(
    title: string,
    attempt: (deadline: Deadline) => Promise<PoolOutcome | undefined>,
  ): Promise<PoolOutcome> {
    const deadline = deadlineAfter(TIMEOUT_MS, this.#deps.clock);
    try {
      for (;;) {
        const outcome = await attempt(deadline);
        if (outcome !== undefined) return outcome;
        if (deadline.leftMs() === 0) throw new Conflict(`${title} changes too often: try again`);
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || !error.outcomeUnknown) throw error;
      throw new StoreUnavailable(
        `${title}: etcd does not answer, and whether the change was made is not known: look with lanius pool ls, or give ` +
          'the same command again, which does no harm',
        { outcomeUnknown: true, cause: error },
      );
    }
  }

  async #put(pool: PoolValue, step: Step, deadline: Deadline): Promise<PoolOutcome | undefined> {
    const result = await this.#deps.committer.submit({ ...step, deadline });
    if (!result.succeeded) return undefined;
    this.#deps.book.note(parseCidr(pool.subnet), pool, result.revision);
    return { pool, changed: true };
  }

  async #managed(name: string, why: string): Promise<KnownPool> {
    const { kv, layout } = this.#deps;
    const known = poolNamed(await readPools(kv, layout), name);
    if (known.value.name !== undefined) return known;
    const { subnet } = known.value;
    throw new Conflict(
      `pool ${subnet} was made by docker network create and ${why}: to manage it, adopt it with lanius pool add NAME --subnet ${subnet}`,
    );
  }

  #refuseOverlap(name: string, subnet: Cidr, pools: readonly SeenPool[]): void {
    const text = formatCidr(subnet);
    const configured = this.#options.configuredPools.map((pool) => ({
      name: pool.name,
      subnet: pool.subnet,
      whose: ' of ipam.pools',
    }));
    const all = [
      ...pools.map((pool) => ({ name: pool.value?.name, subnet: pool.subnet, whose: '' })),
      ...configured,
    ];
    const namesake = all.find((pool) => pool.name === name && formatCidr(pool.subnet) !== text);
    if (namesake !== undefined) {
      throw new Conflict(
        `pool ${name}${namesake.whose} is ${formatCidr(namesake.subnet)}, not ${text}: choose another name`,
      );
    }
    const other = overlapping(
      subnet,
      all.map((pool) => pool.subnet),
    );
    if (other === undefined) return;
    const found = all.find((pool) => pool.subnet === other);
    const title =
      found?.name === undefined ? formatCidr(other) : `${found.name}${found.whose} (${formatCidr(other)})`;
    throw new Conflict(`subnet ${text} overlaps pool ${title}: choose a subnet beside it`);
  }

  /** A container that has the router's address would take the pool's traffic. */
  async #refuseHeldGateway(pool: PoolValue, before: string | undefined): Promise<void> {
    const { gateway } = pool;
    if (gateway === undefined || gateway === before) return;
    const { kv, layout } = this.#deps;
    const [lease] = (await kv.range({ key: layout.lease(parseCidr(pool.subnet), parseIp(gateway)) })).kvs;
    const held = lease === undefined ? undefined : decode(leaseSchema, lease.key, lease.value);
    if (held === undefined || isShared(held)) return;
    throw new Conflict(
      `address ${gateway} cannot be the gateway of pool ${nameOf(pool)}: ${holderText(held)}: choose another, or remove that first`,
    );
  }

  async #refuseUsed({ subnet, value }: SeenPool, what: string): Promise<void> {
    const { kv, layout } = this.#deps;
    const uses = await kv.range({ prefix: layout.uses(subnet) }, { keysOnly: true });
    if (uses.count === 0) return;
    const hosts = uses.kvs.map(({ key }) => key.slice(layout.uses(subnet).length));
    throw new Conflict(
      `pool ${value === undefined ? formatCidr(subnet) : nameOf(value)} has networks on ${counted(hosts.length, 'host')} (${listed(hosts)}), so ${what}: remove them there first with docker network rm`,
    );
  }

  async #refuseLeased({ subnet, value }: KnownPool): Promise<void> {
    const { leased, reserved, leasedBy } = await reportOf(value, this.#deps);
    if (leased + reserved === 0) return;
    const hosts = leasedBy.map(({ host, leases }) => `${host}: ${leases}`);
    const where = hosts.length === 0 ? '' : ` (${listed(hosts)})`;
    throw new Conflict(
      `pool ${nameOf(value)} has ${counted(leased, 'lease')}${where} and ${counted(reserved, 'reservation')}, so it cannot be removed: ` +
        `see lanius ip ls --pool ${formatCidr(subnet)}, and free them with lanius ip release or lanius ip unreserve`,
    );
  }
}

/** @throws InvalidRequest for a subnet in which containers cannot be */
function refuseUnfit(name: string, subnet: Cidr): void {
  const text = `pool ${name}: subnet ${formatCidr(subnet)}`;
  if (cidrSize(subnet) < LEAST_SIZE)
    throw new InvalidRequest(`${text} is too small to be shared: take a larger one`);
  const unfit = NOT_FOR_HOSTS.find((one) => cidrsOverlap(parseCidr(one), subnet));
  if (unfit === undefined) return;
  throw new InvalidRequest(`${text} has addresses that no container can have (${unfit}): choose another one`);
}

/** A pool that an operator has made already. */
function sameOrRefused(standing: PoolValue, wished: PoolValue): PoolOutcome {
  const name = nameOf(standing);
  if (standing.name !== wished.name) {
    throw new Conflict(
      `subnet ${standing.subnet} is pool ${name} already: use that, or choose another subnet than for ${wished.name}`,
    );
  }
  // A gateway that a network brought is not something else than was wished.
  const { gateway } = standing;
  const same = {
    ...(gateway === undefined ? {} : { gateway }),
    ...wished,
  };
  if (isDeepStrictEqual(standing, same)) return { pool: standing, changed: false };
  throw new Conflict(`pool ${name} exists with other settings: change them with lanius pool set ${name}`);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function listed(items: readonly string[]): string {
  return items.slice(0, 8).join(', ') + (items.length > 8 ? ', ...' : '');
}
