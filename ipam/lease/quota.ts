/**
 * How many addresses of a pool this host may hold. Exact also for requests that come together: what is asked for and
 * not yet answered counts like what is held.
 */
import { PoolExhausted } from '../../core/errors.ts';
import { type Cidr, formatCidr } from '../../core/ip.ts';
import { poolKeyOf } from '../../store/layout.ts';
import type { LeasePolicies } from './lease-policies.ts';
import type { LeaseTable } from './lease-table.ts';

/** The right to one address more. */
export interface Slot {
  /** The address is in the table, or the request has ended. Idempotent. */
  end(): void;
}

const UNLIMITED: Slot = { end: () => {} };

export class Quota {
  readonly #host: string;
  readonly #deps: { readonly table: LeaseTable; readonly policies: LeasePolicies };
  /** Requests under way, by pool. */
  readonly #asked = new Map<string, number>();

  constructor(
    options: { readonly host: string },
    deps: { readonly table: LeaseTable; readonly policies: LeasePolicies },
  ) {
    this.#host = options.host;
    this.#deps = deps;
  }

  /** The pool has one, so the table must have been read. */
  isSet(subnet: Cidr): boolean {
    return this.#deps.policies.quotaPerHost(subnet) !== undefined;
  }

  /** @throws PoolExhausted */
  enter(subnet: Cidr): Slot {
    const quota = this.#deps.policies.quotaPerHost(subnet);
    if (quota === undefined) return UNLIMITED;
    const pool = poolKeyOf(subnet);
    const asked = this.#asked.get(pool) ?? 0;
    if (this.#deps.table.countOf(subnet) + asked >= quota) {
      throw new PoolExhausted(
        `pool ${formatCidr(subnet)}: host ${this.#host} has its quota of ${quota} addresses: ` +
          'remove containers here, or raise it with lanius pool set',
        { details: { pool: formatCidr(subnet), quota } },
      );
    }
    this.#add(pool, 1);
    let ended = false;
    return {
      end: () => {
        if (!ended) this.#add(pool, -1);
        ended = true;
      },
    };
  }

  #add(pool: string, more: number): void {
    const asked = (this.#asked.get(pool) ?? 0) + more;
    if (asked > 0) this.#asked.set(pool, asked);
    else this.#asked.delete(pool);
  }
}
