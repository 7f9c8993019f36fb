/** Asks etcd how full some ranges of a pool are, without counting much: see ipam/warm/warm-policy.ts. */
import { type Cidr, rangeSize } from '../../core/ip.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import type { Choice } from '../address/choice.ts';
import { type Fullness, sampleOf } from './warm-policy.ts';

/**
 * One countOnly read of at most 4096 keys, from the member's own data.
 * @throws StoreUnavailable
 */
export function fullnessOf(
  { kv, layout }: { readonly kv: KvPort; readonly layout: Layout },
  random: () => number,
): (subnet: Cidr, choice: Choice) => Promise<Fullness> {
  return async (subnet, choice) => {
    const sample = sampleOf(choice.own, random);
    if (sample === undefined) return { usable: 0n, taken: 0 };
    const { family, first, last } = sample;
    const from = layout.lease(subnet, { family, value: first });
    const to = `${layout.lease(subnet, { family, value: last })}\0`;
    const { count } = await kv.range({ from, to }, { countOnly: true, serializable: true });
    return { usable: rangeSize(sample), taken: count };
  };
}
