/**
 * What becomes of an address at its release: it stays reserved for its name, it cools, or it is free at once. Decided
 * from the lease as etcd has it and the pool's policy; grants the TTL that it takes.
 */
import type { Clock } from '../../core/clock.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { type Cidr, formatCidr } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { TtlBuckets } from '../commit/ttl-buckets.ts';
import type { LeasePolicies } from './lease-policies.ts';
import type { Afterwards } from './lease-steps.ts';

/** How long an address is kept for its name where neither pool nor lease says: 7 days. */
export const KEEP_SECONDS = 604_800;

export interface FatesDependencies {
  readonly policies: LeasePolicies;
  readonly ttls: TtlBuckets;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Fates {
  readonly #deps: FatesDependencies;

  constructor(deps: FatesDependencies) {
    this.#deps = deps;
  }

  /**
   * @param value the lease that ends
   * @param options.cooling false: nobody has used the address
   * @throws StoreUnavailable if it must be kept for a while and etcd gives no TTL; without cooling it can do
   */
  async of(subnet: Cidr, value: LeaseValue, options: { readonly cooling: boolean }): Promise<Afterwards> {
    if (value.name !== undefined && (value.role === 'operator' || value.role === 'sticky')) {
      const reserved = this.#reserved(value);
      if (value.role === 'operator') return { fate: 'keep', reserved };
      const ttlId = await this.#deps.ttls.ttl(value.keepSeconds ?? KEEP_SECONDS);
      return { fate: 'keep', reserved, ttlId };
    }
    const seconds = options.cooling ? this.#deps.policies.coolingSeconds(subnet) : 0;
    if (seconds <= 0) return { fate: 'free' };
    try {
      return { fate: 'cool', ttlId: await this.#deps.ttls.ttl(seconds) };
    } catch (err) {
      if (!(err instanceof StoreUnavailable)) throw err;
      this.#deps.logger.debug('an address is released without cooling', { pool: formatCidr(subnet), err });
      return { fate: 'free' };
    }
  }

  /** etcd refused a release because of its TTL; the next one has another. */
  async ttlGone(afterwards: Afterwards): Promise<void> {
    const ttlId = afterwards.fate === 'free' ? undefined : afterwards.ttlId;
    if (ttlId !== undefined) await this.#deps.ttls.forget(ttlId);
  }

  #reserved({ role, name, keepSeconds, host, request, bootId }: LeaseValue): LeaseValue {
    return {
      v: 1,
      state: 'reserved',
      role,
      name,
      ...(keepSeconds === undefined ? {} : { keepSeconds }),
      host,
      request,
      bootId,
      at: this.#deps.clock.wall(),
    };
  }
}
