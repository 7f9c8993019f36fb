/** What became of a change of limits, asked of the daemon again and again for a time: for `lanius limit set` and `rm`. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type LeaseOutcome,
  LIMIT_PATHS,
  type LimitChange,
  type OutcomesRequest,
} from '../plugin/wire/admin-limits.ts';
import type { AdminClient } from './admin-client.ts';

const PAUSE_MS = 100;
const DIRECTIONS = ['in', 'out'] as const;

/**
 * Asks until the hosts of all containers have the change in force, or the time is up.
 * @returns how the limits stand then, by container
 */
export async function settled(
  client: AdminClient,
  change: LimitChange,
  timeoutMs: number,
): Promise<{ readonly done: boolean; readonly leases: readonly LeaseOutcome[] }> {
  const end = performance.now() + timeoutMs;
  let { leases } = change;
  const request: OutcomesRequest = { leases: leases.map(({ pool, address }) => ({ pool, address })) };
  for (;;) {
    const done = leases.every((lease) => isSettled(lease, change));
    if (done || performance.now() >= end) return { done, leases };
    await sleep(PAUSE_MS);
    leases = await client.post<LeaseOutcome[]>(LIMIT_PATHS.outcomes, request);
  }
}

/** Its host has written what came of it: the same as is set, or something after the change. */
function isSettled({ limits, revision }: LeaseOutcome, { set, revision: changedAt }: LimitChange): boolean {
  return DIRECTIONS.every((direction) => {
    const wanted = set[direction];
    if (wanted === undefined) return true;
    const now = limits[direction];
    if (wanted === null) return now?.source !== 'override' || revision > changedAt;
    const same = now?.source === 'override' && now.rate === wanted.split(',')[0];
    return same && (now.state === 'in force' || revision > changedAt);
  });
}

/** `10.77.0.5 on host h1: in 100mbit (override, tbf), out none` */
export function outcomeText({ address, host, limits }: LeaseOutcome): string {
  const parts = DIRECTIONS.map((direction) => {
    const limit = limits[direction];
    if (limit === undefined) return `${direction} none`;
    const words = [limit.source, limit.how].filter((word) => word !== undefined).join(', ');
    const reason = limit.reason === undefined ? '' : ` (${limit.reason})`;
    const state = limit.state === 'in force' ? reason : ` is not in force${reason}`;
    return `${direction} ${limit.rate}${words === '' ? '' : ` (${words})`}${state}`;
  });
  return `${address} on host ${host}: ${parts.join(', ')}`;
}
