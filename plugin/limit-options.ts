/**
 * The options by which a network or an endpoint says its limits, the same keys for both: texts, checked when they are given,
 * kept as they were written. What they are worth against other sources is decided by throttle/wish.ts.
 *
 * Must not: read a rate itself; core/limit-text.ts does, for every place where limits are written.
 */
import { InvalidRequest } from '../core/errors.ts';
import { DIRECTIONS } from '../core/limit.ts';
import {
  type KeyedTexts,
  keptText,
  LIMIT_KEYS,
  type LimitKey,
  limitKey,
  parseLimit,
  textsOf,
} from '../core/limit-text.ts';
import type { NetworkRecord } from '../store/host-records.ts';

const rate = (what: string) => ({
  values: '500 (kbit/s), 100mbit, 1.5gbit, none',
  default: 'no limit, unless another source says one',
  explanation: `${what} (docs/limits.md).`,
  parse: keptText,
});
const burst = (key: string) => ({
  values: '15140 (bytes), 64kb, 1mb',
  default: 'by the rate',
  explanation: `How much may pass at once after a pause; only with ${key}.`,
  parse: keptText,
});
const peak = (key: string) => ({
  values: 'a rate above the limit',
  default: 'that of the link',
  explanation: `The rate within a burst; only with ${key}.`,
  parse: keptText,
});
const min = (key: string) => ({
  values: 'a rate, at most the limit',
  default: 'none',
  explanation: `What a container has for sure while others want the parent, too; only with ${key}, and on networks with enforce=host.`,
  parse: keptText,
});

/** Rows of an option table. */
export const LIMIT_OPTIONS = {
  net_in: rate('What a container may receive in a second'),
  net_in_burst: burst('net_in'),
  net_in_min: min('net_in'),
  net_in_peak: peak('net_in'),
  net_out: rate('What a container may send in a second'),
  net_out_burst: burst('net_out'),
  net_out_min: min('net_out'),
  net_out_peak: peak('net_out'),
} as const satisfies Record<LimitKey, unknown>;

/**
 * The limits among options that were parsed, as texts; empty if there are none.
 * @param given the option as people write it, without the key: `-o`, `--driver-opt`
 * @param enforce of the network
 * @throws InvalidRequest that names the key
 */
export function limitTexts(
  options: KeyedTexts,
  given: '-o' | '--driver-opt',
  enforce: NetworkRecord['enforce'],
): KeyedTexts {
  const texts = Object.fromEntries(
    LIMIT_KEYS.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]])),
  );
  for (const direction of DIRECTIONS) {
    const limit = parseLimit(textsOf(direction, texts), (part) => `${given} ${limitKey(direction, part)}`);
    if (limit?.minBitsPerSecond === undefined || enforce === 'host') continue;
    throw new InvalidRequest(
      `${given} ${limitKey(direction, 'min')}: a share for sure exists only on networks with -o enforce=host: leave it out, or use such a network`,
    );
  }
  return texts;
}

/**
 * On the host's side a limit stands on the parent, so all that containers send must pass it.
 * @see linux drivers/net/macvlan.c macvlan_queue_xmit(): only mode bridge delivers to other ports of the parent itself
 * @throws InvalidRequest
 */
export function checkEnforcement({
  enforce,
  mode,
  macvlanMode,
}: Pick<NetworkRecord, 'enforce' | 'mode' | 'macvlanMode'>): void {
  if (enforce !== 'host') return;
  if (mode === 'macvlan' && (macvlanMode === 'private' || macvlanMode === 'vepa')) return;
  const reason =
    mode === 'macvlan' && macvlanMode === 'bridge'
      ? 'in macvlan_mode=bridge containers of one host reach each other past the parent, where the limits would stand'
      : 'limits on the parent tell containers by the MACs of their macvlan links';
  throw new InvalidRequest(
    `-o enforce=host needs mode=macvlan with macvlan_mode=private or vepa: ${reason}: add -o macvlan_mode=private, or leave out enforce=host`,
  );
}
