/**
 * What can be wrong with limits that people set, and with what hosts say of their bandwidth. Pure. Part of store-check.ts.
 */
import { readLimit } from '../../store/limit-value.ts';
import type { Finding } from './store-finding.ts';
import type { StoreView } from './store-view.ts';

export function checkLimits(view: StoreView): Finding[] {
  const limits = view.limits.flatMap(({ limit: { host, containerName, direction }, kv }): Finding[] => {
    const { problem } = readLimit(kv.key, kv.value);
    if (problem === undefined) return [];
    const where = host === undefined ? '' : ` on host ${host}`;
    const words = `${containerName} ${direction === 'in' ? '--in' : '--out'}`;
    const option = host === undefined ? '' : ` --host ${host}`;
    return [
      {
        code: 'damaged-value',
        object: `limit net_${direction} of ${containerName}${where}`,
        problem: `it is passed over: ${problem}`,
        advice: `set it again: lanius limit set ${words} RATE${option}; or take it away: lanius limit rm ${words}${option}`,
      },
    ];
  });
  const bandwidths = view.bandwidths.flatMap(({ host, kv, value }): Finding[] => {
    if (value !== undefined) return [];
    return [
      {
        code: 'damaged-value',
        object: `host ${host}`,
        problem: `the value of ${kv.key} is no bandwidth`,
        repair: {
          lockKey: kv.key,
          seen: [view.unchanged(kv.key, kv)],
          edits: [{ key: kv.key, before: kv.value }],
        },
      },
    ];
  });
  return [...limits, ...bandwidths];
}
