/**
 * The invariants of the store, proved or refuted: keys and values of one revision in, findings out. Pure; it is
 * ipam/upkeep/store-checker.ts that reads and ipam/upkeep/store-repair.ts that writes.
 *
 * docs/store.md has the invariants and findings for people.
 */
import { cidrsOverlap } from '../../core/ip.ts';
import type { KeyValue } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { checkAddress, objectOf } from './store-check-addresses.ts';
import { checkLimits } from './store-check-limits.ts';
import { checkMac } from './store-check-macs.ts';
import { checkEndpoints, checkNames } from './store-check-names.ts';
import { checkPools } from './store-check-pools.ts';
import type { Finding } from './store-finding.ts';
import { type SeenAddress, StoreView } from './store-view.ts';

/**
 * @param kvs all keys under the prefix at one revision; or a part of them, if it has with every lease what it is
 *   compared with: its index entries, name, holds and pool, and all pools, hosts, sessions and uses
 * @param now wall clock in milliseconds, for what a repair writes anew
 */
export function checkStore(layout: Layout, kvs: Iterable<KeyValue>, now: number): Finding[] {
  const view = new StoreView(layout, kvs);
  const addresses = view.addresses();
  return [
    ...checkPools(view, addresses, now),
    ...addresses.flatMap((at) => [...checkAddress(view, at, now), ...checkMac(view, at)]),
    ...checkNames(view, addresses),
    ...checkEndpoints(addresses),
    ...inTwoPools(addresses),
    ...checkLimits(view),
    ...view.unknown.map(({ key }) => unknownKey(key, key.startsWith(layout.limits))),
  ];
}

function unknownKey(key: string, isLimit: boolean): Finding {
  return {
    code: 'unknown-key',
    object: key,
    problem: isLimit
      ? 'no limit has such a key, so it is passed over'
      : 'no Lanius of this version writes such a key',
    advice: isLimit
      ? 'a limit is at limits/name/CONTAINER/in (or out) or limits/host/HOST/CONTAINER/in (or out): put it there, and etcdctl del this one'
      : 'a newer version or another program wrote it; if nobody needs it: etcdctl del',
  };
}

/** Only pools that overlap can have an address twice. */
function inTwoPools(addresses: readonly SeenAddress[]): Finding[] {
  const first = new Map<string, SeenAddress>();
  return addresses.flatMap((at): Finding[] => {
    if (at.lease === undefined) return [];
    const other = first.get(at.hex);
    if (other === undefined) {
      first.set(at.hex, at);
      return [];
    }
    if (!cidrsOverlap(at.subnet, other.subnet)) return [];
    return [
      {
        code: 'address-twice',
        object: objectOf(at),
        problem: `it is leased from ${objectOf(other)}, too`,
        advice: `remove the container of one of the two: hosts ${at.lease.value?.host ?? '?'} and ${other.lease?.value?.host ?? '?'}`,
      },
    ];
  });
}
