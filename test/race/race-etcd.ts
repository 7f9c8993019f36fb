/** What a race does in etcd by itself: empties it, fills the pool, looks, and tells what became of an address. */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatIp, type IpAddress, parseCidr, parseIp, usableRange } from '../../core/ip.ts';
import type { KvPort, Operation, WatchEvent } from '../../store/kv.ts';
import type { LeaseValue } from '../../store/schema.ts';
import { layout } from '../support/ipam-host.ts';
import type { Holding, Snapshot } from './checker.ts';
import type { RaceHistory } from './history.ts';

export const SUBNET = '10.66.0.0/22';
const FILLER = 'filler';
/** Two puts each, at most 128 operations a transaction. */
const BATCH = 60;

/** Removes everything of earlier races. @returns the revision from which this one's history begins */
export async function wipe(kv: KvPort): Promise<number> {
  const result = await kv.txn({
    compare: [],
    success: [{ do: 'delete', range: { prefix: layout.prefix } }],
  });
  return result.revision + 1;
}

/** Leases of a host that never moves, on all addresses of the pool but `free` random ones. */
export async function fill(kv: KvPort, free: number, random: () => number): Promise<Map<string, Holding>> {
  const subnet = parseCidr(SUBNET);
  const { family, first, last } = usableRange(subnet);
  const all: IpAddress[] = [];
  for (let value = first; value <= last; value += 1n) all.push({ family, value });
  const order = all.map((address) => ({ address, at: random() })).sort((a, b) => a.at - b.at);
  const filled = order.slice(free).map(({ address }) => address);
  for (let at = 0; at < filled.length; at += BATCH) {
    await kv.txn({
      compare: [],
      success: filled.slice(at, at + BATCH).flatMap((address) => putsOf(subnet, address)),
    });
  }
  return new Map(filled.map((address) => [formatIp(address), { host: FILLER, call: 0 }]));
}

function putsOf(subnet: ReturnType<typeof parseCidr>, address: IpAddress): Operation[] {
  const lease: LeaseValue = {
    v: 1,
    state: 'bound',
    host: FILLER,
    request: `${FILLER}.1`,
    bootId: 'boot',
    at: 0,
  };
  const value = JSON.stringify(lease);
  return [
    { do: 'put', key: layout.lease(subnet, address), value },
    { do: 'put', key: layout.byHostLease(FILLER, subnet, address), value },
  ];
}

/** Leases and indexes at one revision. @throws StoreUnavailable */
export async function snapshot(kv: KvPort): Promise<Snapshot> {
  const { results } = await kv.txn({
    compare: [],
    success: [
      { do: 'get', range: { prefix: layout.leases(parseCidr(SUBNET)) } },
      { do: 'get', range: { prefix: `${layout.prefix}by-host/` } },
    ],
  });
  const [leases = [], index = []] = results.map((result) => (result.did === 'get' ? result.kvs : []));
  return { leases, index };
}

/** The history of an address as the hosts told it, and as etcd did. */
export async function storyOf(
  kv: KvPort,
  address: string,
  fromRevision: number,
  history: RaceHistory,
): Promise<string[]> {
  const events: WatchEvent[] = [];
  const key = layout.lease(parseCidr(SUBNET), parseIp(address));
  const watch = kv.watch({ key }, fromRevision, {
    onEvents: (batch) => events.push(...batch),
    onCompacted: () => {},
  });
  await sleep(1000);
  await watch.close();
  const told = history.of(address).slice(-60);
  const written = events.slice(-40).map(({ type, kv: item }) => `${item.modRevision} ${type} ${item.value}`);
  return [`${address} as the hosts told it:`, ...told, `${address} in etcd:`, ...written];
}
