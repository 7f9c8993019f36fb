/**
 * How many addresses this host can still give out, by pool: not the pool's figure but what its labels, ranges and quota
 * leave to this host. Counted by etcd on demand; never on the way of a container.
 */
import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { Conflict, PoolExhausted } from '../../core/errors.ts';
import { type Cidr, cidrRange, formatCidr, type IpRange, rangeHas } from '../../core/ip.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import type { PoolValue } from '../../store/schema.ts';
import { sizeOf } from '../address/choice.ts';
import { without } from '../address/ranges.ts';
import type { HeldLease } from '../lease/lease-table.ts';
import { parsePoolId } from '../pool/claims.ts';
import { choiceFor, type Labels } from '../pool/pool-policy.ts';
import { takenIn } from '../pool/pool-report.ts';

export interface AddressFigures {
  /** Its subnet. */
  readonly pool: string;
  /** Of operators' pools. */
  readonly name?: string;
  /** Most addresses that this host may ever hold: of its ranges, or its quota. Changes with the pool's settings only. */
  readonly total: number;
  /** Held by containers of this host. */
  readonly held: number;
  /** What this host could give out now; other hosts may be faster. */
  readonly free: number;
}

export interface HostFiguresDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  /** Claims of this host's networks. */
  readonly claims: { list(): readonly { readonly poolId: string }[] };
  /** Waits until pools were read, for a figure that leaves out quota and ranges is wrong. */
  readonly pools: { find(subnet: Cidr, deadline: Deadline): Promise<PoolValue | undefined> };
  readonly leases: { list(): readonly HeldLease[] };
  readonly clock: Clock;
}

export interface HostFiguresOptions {
  /** `host.labels` */
  readonly labels: Labels;
  /** How long pools are waited for that were never read, in milliseconds. */
  readonly waitMs?: number;
}

interface Claimed {
  readonly subnet: Cidr;
  readonly pool: PoolValue | undefined;
  readonly ranges: readonly IpRange[];
}

const WAIT_MS = 5000;

export class HostFigures {
  readonly #options: HostFiguresOptions;
  readonly #deps: HostFiguresDependencies;

  constructor(options: HostFiguresOptions, deps: HostFiguresDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Pools that networks of this host are on, in order of their subnets. @throws StoreUnavailable */
  async addresses(): Promise<AddressFigures[]> {
    const { claims, clock } = this.#deps;
    const deadline = deadlineAfter(this.#options.waitMs ?? WAIT_MS, clock);
    const claimed = new Map<string, Claimed>();
    for (const { poolId } of claims.list()) {
      const { subnet } = parsePoolId(poolId);
      const key = formatCidr(subnet);
      const before = claimed.get(key);
      const pool = before === undefined ? await this.#deps.pools.find(subnet, deadline) : before.pool;
      const ranges = [...(before?.ranges ?? []), ...this.#rangesOf(poolId, pool)];
      claimed.set(key, { subnet, pool, ranges });
    }
    const all = [...claimed].toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));
    return await Promise.all(all.map(([, one]) => this.#figuresOf(one)));
  }

  /** None where ranges are for container names only, or all are gone. */
  #rangesOf(poolId: string, pool: PoolValue | undefined): readonly IpRange[] {
    const { subnet, range, rangeName } = parsePoolId(poolId);
    try {
      const { own, borrow } = choiceFor(pool, subnet, {
        labels: this.#options.labels,
        ...(range === undefined ? {} : { claimRange: range }),
        ...(rangeName === undefined ? {} : { rangeName }),
      });
      return [...own, ...borrow];
    } catch (error) {
      if (error instanceof Conflict || error instanceof PoolExhausted) return [];
      throw error;
    }
  }

  async #figuresOf({ subnet, pool, ranges: parts }: Claimed): Promise<AddressFigures> {
    const { kv, layout, leases } = this.#deps;
    const whole = [cidrRange(subnet)];
    // Networks may share ranges: what is left without all that is left without them.
    const ranges = without(whole, without(whole, parts));
    const usable = Number(sizeOf(ranges));
    const own = leases.list().filter((lease) => formatCidr(lease.subnet) === formatCidr(subnet));
    const isWarm = ({ value }: HeldLease): boolean => value.state === 'warm';
    const held = own.filter((lease) => !isWarm(lease)).length;
    const warm = own.filter(
      (lease) => isWarm(lease) && ranges.some((range) => rangeHas(range, lease.address)),
    );
    const left = usable - (await takenIn(ranges, subnet, { kv, layout })) + warm.length;
    const quota = pool?.quotaPerHost ?? Number.POSITIVE_INFINITY;
    return {
      pool: formatCidr(subnet),
      ...(pool?.name === undefined ? {} : { name: pool.name }),
      total: Math.min(usable, quota),
      held,
      free: Math.max(0, Math.min(left, quota - held)),
    };
  }
}
