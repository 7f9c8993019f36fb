/**
 * The inventory (inventory.ts) from this host's memory, for people while etcd does not answer. Counts of whole pools are
 * etcd's alone, and left out.
 */
import { formatCidr, parseCidr } from '../../core/ip.ts';
import type { PoolValue } from '../../store/schema.ts';
import { sizeOf } from '../address/choice.ts';
import type { KnownHere as KnownHerePort, LeaseFilter, LeaseInfo, PoolInfo } from '../inventory.ts';
import type { Leases } from '../lease/leases.ts';
import { openRanges } from '../pool/pool-policy.ts';
import { isAskedFor, leaseInfo } from './lease-info.ts';

export interface KnownHereDependencies {
  readonly leases: Pick<Leases, 'list'>;
  readonly pools: { list(): readonly PoolValue[] };
}

export class KnownHere implements KnownHerePort {
  readonly #deps: KnownHereDependencies;

  constructor(deps: KnownHereDependencies) {
    this.#deps = deps;
  }

  pools(): PoolInfo[] {
    return this.#deps.pools.list().map((pool) => ({
      pool: pool.subnet,
      ...(pool.name === undefined ? {} : { name: pool.name }),
      ...(pool.gateway === undefined ? {} : { gateway: pool.gateway }),
      usable: Number(sizeOf(openRanges(pool, parseCidr(pool.subnet)))),
      hosts: [],
    }));
  }

  leases(filter: LeaseFilter): LeaseInfo[] {
    const { pool, host } = filter;
    const subnet = pool === undefined ? undefined : this.#subnetOf(pool);
    return this.#deps.leases
      .list()
      .map((held) => leaseInfo(held.subnet, held.address, held.value))
      .filter((lease) => subnet === undefined || lease.pool === subnet)
      .filter((lease) => host === undefined || lease.host === host)
      .filter((lease) => isAskedFor(lease, filter));
  }

  #subnetOf(pool: string): string {
    const named = this.#deps.pools.list().find(({ name }) => name === pool);
    return named?.subnet ?? (pool.includes('/') ? formatCidr(parseCidr(pool)) : pool);
  }
}
