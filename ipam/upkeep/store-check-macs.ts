/**
 * What can be wrong with the entry of an address whose MAC does not follow from it: it must say what the lease says, and be
 * there only as long as the lease. The lease decides. Pure. Part of store-check.ts.
 */
import { macEntryOf } from '../mac/mac-entry.ts';
import { objectOf } from './store-check-addresses.ts';
import type { Finding, StoreEdit } from './store-finding.ts';
import type { SeenAddress, StoreView } from './store-view.ts';

export function checkMac(view: StoreView, at: SeenAddress): Finding[] {
  // What a damaged lease would say is not known.
  if (at.lease !== undefined && at.lease.value === undefined) return [];
  const wanted = macEntryOf(at.lease?.value);
  const there = at.mac;
  if (wanted === undefined && there === undefined) return [];
  if (wanted !== undefined && there?.value !== undefined && there.value.mac === wanted.mac) return [];
  const key = view.layout.mac(at.subnet, at.address);
  const ttlSeconds = at.lease?.value?.state === 'reserved' ? at.lease.value.keepSeconds : undefined;
  const edit: StoreEdit = {
    key,
    ...(there === undefined ? {} : { before: there.kv.value }),
    ...(wanted === undefined ? {} : { after: JSON.stringify(wanted) }),
    ...(wanted === undefined || ttlSeconds === undefined ? {} : { ttlSeconds }),
  };
  return [
    {
      code: 'mac-differs',
      object: objectOf(at),
      problem: problemOf(at, wanted?.mac),
      repair: {
        lockKey: at.leaseKey,
        seen: [view.unchanged(at.leaseKey, at.lease?.kv), view.unchanged(key, there?.kv)],
        edits: [edit],
      },
    },
  ];
}

function problemOf({ lease, mac }: SeenAddress, wanted: string | undefined): string {
  const says = mac === undefined ? 'no entry in macs/' : `its entry in macs/ says ${textOf(mac.value?.mac)}`;
  if (lease === undefined) return `${says}, but it has no lease`;
  return `${says}, but its lease says ${wanted === undefined ? 'that its MAC follows from the address' : wanted}`;
}

function textOf(mac: string | undefined): string {
  return mac ?? 'that it is to be asked for';
}
