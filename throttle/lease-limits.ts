/** How the limits of an endpoint stand, as its lease says it to everybody. Pure. */
import { formatRate } from '../core/rate.ts';
import type { LeaseLimits, LeaseLimitValue } from '../store/schema.ts';
import type { DirectionState, LimitState } from './limit-state.ts';

/** A reason in etcd is for people, and may be as long as a kernel's complaint. */
const MOST_REASON = 200;

export function leaseLimitsOf(state: Pick<LimitState, 'in' | 'out'>): LeaseLimits {
  const [inward, outward] = [leaseLimitOf(state.in), leaseLimitOf(state.out)];
  return {
    ...(inward === undefined ? {} : { in: inward }),
    ...(outward === undefined ? {} : { out: outward }),
  };
}

/** Undefined where nobody has said anything. */
function leaseLimitOf({ wished, source, how, problem }: DirectionState): LeaseLimitValue | undefined {
  if (wished === undefined && source === undefined && problem === undefined) return undefined;
  const inForce = wished === undefined ? problem === undefined : how !== undefined;
  return {
    rate: formatRate(wished?.rateBitsPerSecond),
    ...(source === undefined ? {} : { source }),
    state: inForce ? 'in force' : 'not in force',
    ...(how === undefined ? {} : { how }),
    ...(problem === undefined ? {} : { reason: problem.slice(0, MOST_REASON) }),
  };
}
