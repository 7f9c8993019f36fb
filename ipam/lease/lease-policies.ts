/**
 * What the leases need to know of a pool's policy, answered from memory: asked on the way of every container.
 * Pure contract; the pools' side implements it.
 */
import type { Cidr } from '../../core/ip.ts';

export interface LeasePolicies {
  /** How long a released address rests; 0: not at all. */
  coolingSeconds(subnet: Cidr): number;
  /** Most addresses that one host may hold of the pool; undefined: as many as there are. */
  quotaPerHost(subnet: Cidr): number | undefined;
}

/** Of pools that nobody has set anything for. */
export const NO_POLICIES: LeasePolicies = {
  coolingSeconds: () => 0,
  quotaPerHost: () => undefined,
};
