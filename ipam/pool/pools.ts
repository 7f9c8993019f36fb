/**
 * Pools: one per subnet for the whole cluster, whichever host brought it first; and the addresses in it that
 * many hosts share (gateway, aux).
 *
 * A pool stands in etcd as long as a host uses it or a lease stands in it; an operator's pool until the operator
 * removes it (pool-admin.ts). Pools never overlap unless they are the same subnet.
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { Conflict, DeadlineExceeded, InvalidRequest } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import {
  type Cidr,
  cidrHas,
  formatCidr,
  formatIp,
  type IpAddress,
  parseIp,
  usableRange,
} from '../../core/ip.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, type LeaseValue, leaseSchema, type PoolValue } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import { holderText } from '../lease/lease-steps.ts';
import type { PoolBook } from './pool-book.ts';
import { known, poolValue, readPools, type SeenPool } from './pool-lookup.ts';
import { nameOf } from './pool-policy.ts';
import { overlapping, type PoolSteps, poolSteps } from './pool-steps.ts';

/** Kept addresses that go with an unused pool; with more of them it waits until their time is over. */
const MOST_KEPT = 5000;

export interface PoolsOptions {
  readonly host: string;
  readonly instance: string;
  readonly bootId: string;
}

export interface PoolsDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Pick<Committer, 'submit'>;
  /** Told of what this host writes. */
  readonly book: PoolBook;
  readonly clock: Clock;
}

export interface PoolUse {
  readonly subnet: Cidr;
  /** This host is noted as a user. */
  readonly usedHere: boolean;
  /** No host is. */
  readonly unused: boolean;
  /** Shared addresses that this host holds. */
  readonly held: readonly IpAddress[];
}

export class Pools {
  readonly #options: PoolsOptions;
  readonly #deps: PoolsDependencies;
  readonly #steps: PoolSteps;

  constructor(options: PoolsOptions, deps: PoolsDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#steps = poolSteps(deps.layout, options.host);
  }

  /** All pools that can be read, as etcd has them now. @throws StoreUnavailable */
  async list(): Promise<PoolValue[]> {
    const { kv, layout } = this.#deps;
    return (await readPools(kv, layout)).flatMap(({ value }) => value ?? []);
  }

  /**
   * Makes sure that the pool stands and that this host is among its users.
   * @throws Conflict on overlap; InternalError if the pool is damaged
   */
  async use(subnet: Cidr, deadline: Deadline): Promise<void> {
    const { kv, layout, committer, clock, book } = this.#deps;
    for (;;) {
      const pools = await readPools(kv, layout);
      const there = pools.find((pool) => pool.kv.key === layout.pool(subnet));
      const same = there === undefined ? undefined : known(there);
      const other = overlapping(
        subnet,
        pools.map((pool) => pool.subnet),
      );
      if (other !== undefined) {
        throw new Conflict(
          `subnet ${formatCidr(subnet)} overlaps pool ${titleOf(other, pools)}, which is in use: choose that subnet itself ` +
            '(with --ip-range for a part of it), or one beside it',
        );
      }
      const made: PoolValue = {
        v: 1,
        subnet: formatCidr(subnet),
        madeBy: this.#options.host,
        at: clock.wall(),
      };
      const step =
        same !== undefined
          ? this.#steps.use(subnet, same.kv)
          : this.#steps.create(made, (await kv.range({ key: layout.poolset })).kvs[0]);
      const result = await committer.submit({ ...step, deadline });
      if (result.succeeded) {
        if (same === undefined) book.note(subnet, made, result.revision);
        else book.note(subnet, same.value, same.kv.modRevision);
        return;
      }
      if (deadline.leftMs() === 0)
        throw new DeadlineExceeded(`pool ${formatCidr(subnet)} changes too often: try again`);
    }
  }

  /** This host uses the pool no more; the last one takes it away, unless it is an operator's. */
  async leave(subnet: Cidr, deadline: Deadline): Promise<void> {
    await this.#deps.committer.submit({ ...this.#steps.leave(subnet), deadline });
    failpoint('pool.before-remove');
    await this.removeUnused(subnet, deadline);
  }

  /**
   * Takes the pool away if no host uses it, no lease stands in it, and no operator made it. Addresses that are kept for
   * container names go with it; what an operator reserved keeps it, and so does a value that cannot be read.
   */
  async removeUnused(subnet: Cidr, deadline: Deadline): Promise<void> {
    const { kv, layout, committer, book } = this.#deps;
    const key = layout.pool(subnet);
    const pool = (await readPools(kv, layout)).find((one) => one.kv.key === key);
    if (pool?.value === undefined || pool.value.name !== undefined) return;
    await this.#dropKept(subnet, deadline);
    const result = await committer.submit({ ...this.#steps.remove(pool.kv), deadline });
    if (result.succeeded) book.note(subnet, undefined, result.revision);
  }

  /**
   * The gateway to answer when the user named none: the router that the pool's networks use already, else the
   * first address of the subnet. Never just any free address: a router stands there, or will.
   */
  async gateway(subnet: Cidr): Promise<IpAddress> {
    const known = (await this.#read(subnet))?.value.gateway;
    return known === undefined ? { family: subnet.family, value: usableRange(subnet).first } : parseIp(known);
  }

  /** Remembers the first gateway of the pool, for networks that name none. */
  async noteGateway(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const pool = await this.#read(subnet);
    if (pool === undefined || pool.value.gateway !== undefined) return;
    const value = { ...pool.value, gateway: formatIp(address) };
    const result = await this.#deps.committer.submit({ ...this.#steps.change(pool.kv, value), deadline });
    if (result.succeeded) this.#deps.book.note(subnet, value, result.revision);
  }

  /**
   * Reserves a gateway or aux address for the networks of this host; others may have it reserved too.
   * @throws Conflict if a container has it
   */
  async reserve(
    subnet: Cidr,
    address: IpAddress,
    role: 'gateway' | 'aux',
    deadline: Deadline,
  ): Promise<void> {
    if (!cidrHas(subnet, address)) {
      throw new InvalidRequest(
        `address ${formatIp(address)} is not in subnet ${formatCidr(subnet)}: choose one inside it`,
      );
    }
    const { committer, clock } = this.#deps;
    const { host, instance, bootId } = this.#options;
    const value: LeaseValue = {
      v: 1,
      state: 'reserved',
      role,
      host,
      request: `${instance}.${role}`,
      bootId,
      at: clock.wall(),
    };
    for (;;) {
      const made = await committer.submit({ ...this.#steps.reserve(subnet, address, value), deadline });
      if (made.succeeded) return;
      const there = firstRead(made.results);
      if (there !== undefined) {
        const other = decode(leaseSchema, there.key, there.value);
        if (!isShared(other)) {
          throw new Conflict(
            `address ${formatIp(address)} cannot be the ${role === 'gateway' ? 'gateway' : 'auxiliary address'} of a network ` +
              `on pool ${formatCidr(subnet)}: ${holderText(other)}`,
          );
        }
        const held = await committer.submit({ ...this.#steps.hold(subnet, address, there), deadline });
        if (held.succeeded) return;
      }
      if (deadline.leftMs() === 0)
        throw new DeadlineExceeded(`address ${formatIp(address)} changes too often: try again`);
    }
  }

  /** Drops this host's hold; the last one frees the address. Idempotent. */
  async unreserve(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const { kv, layout, committer } = this.#deps;
    const there = (await kv.range({ key: layout.lease(subnet, address) })).kvs[0];
    const shared = there !== undefined && isShared(decode(leaseSchema, there.key, there.value));
    await committer.submit({
      ...this.#steps.unhold(subnet, address, shared ? there : undefined),
      deadline,
    });
  }

  /** All pools, and what this host has of them as etcd sees it: for clearing up. */
  async survey(): Promise<PoolUse[]> {
    const { kv, layout } = this.#deps;
    const found: PoolUse[] = [];
    for (const { subnet } of await readPools(kv, layout)) {
      const uses = (await kv.range({ prefix: layout.uses(subnet) }, { keysOnly: true })).kvs;
      const usedHere = uses.some(({ key }) => key === layout.use(subnet, this.#options.host));
      const held = usedHere ? await this.#heldHere(subnet) : [];
      found.push({ subnet, usedHere, unused: uses.length === 0, held });
    }
    return found;
  }

  /** Only if nothing but kept addresses is left, and nobody uses the pool. */
  async #dropKept(subnet: Cidr, deadline: Deadline): Promise<void> {
    const { kv, layout, committer } = this.#deps;
    const uses = await kv.range({ prefix: layout.uses(subnet) }, { countOnly: true });
    if (uses.count > 0) return;
    const { kvs, count } = await kv.range({ prefix: layout.leases(subnet) }, { limit: MOST_KEPT });
    const kept = kvs.flatMap((item): { readonly item: KeyValue; readonly name: string | undefined }[] => {
      const { state, role, name } = decode(leaseSchema, item.key, item.value);
      if (state !== 'reserved') return [];
      if (role === 'quarantine') return [{ item, name: undefined }];
      return role === 'sticky' && name !== undefined ? [{ item, name }] : [];
    });
    if (kept.length < count) return;
    await Promise.all(
      kept.map(({ item, name }) =>
        committer.submit({ ...this.#steps.dropKept(subnet, item, name), deadline }),
      ),
    );
  }

  async #heldHere(subnet: Cidr): Promise<IpAddress[]> {
    const { kv, layout } = this.#deps;
    const holds = await kv.range({ prefix: layout.holdsOfPool(subnet) }, { keysOnly: true });
    const mine = holds.kvs.filter(({ key }) => key.endsWith(`/${this.#options.host}`));
    return mine.map(({ key }) => layout.addressOfHold(key));
  }

  async #read(subnet: Cidr): Promise<{ readonly kv: KeyValue; readonly value: PoolValue } | undefined> {
    const kv = (await this.#deps.kv.range({ key: this.#deps.layout.pool(subnet) })).kvs[0];
    return kv === undefined ? undefined : { kv, value: poolValue(kv, this.#deps.layout) };
  }
}

/** `10.1.0.0/16`, or `prod (10.1.0.0/16)`. */
function titleOf(subnet: Cidr, pools: readonly SeenPool[]): string {
  const text = formatCidr(subnet);
  const pool = pools.find((one) => formatCidr(one.subnet) === text)?.value;
  return pool?.name === undefined ? text : `${nameOf(pool)} (${text})`;
}

function firstRead(
  results: readonly { readonly did: string; readonly kvs?: readonly KeyValue[] }[],
): KeyValue | undefined {
  return results.find((result) => result.did === 'get')?.kvs?.[0];
}

/** Reserved for networks, and not for a name. */
export function isShared({ role }: LeaseValue): boolean {
  return role === 'gateway' || role === 'aux';
}
