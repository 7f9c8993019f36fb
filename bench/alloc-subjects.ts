/**
 * What a worker of `bench alloc` can be asked to do over and over: take one thing, give it back. The subject is the
 * host's own Leases; the others are what it is compared with, on the same client code.
 */
import type { Cidr, IpAddress } from '../core/ip.ts';
import { formatIp, ipFromHex, ipToHex } from '../core/ip.ts';
import type { Session } from '../ipam/commit/session.ts';
import { LeaseSteps } from '../ipam/lease/lease-steps.ts';
import type { EtcdTransport } from '../store/etcd-transport.ts';
import type { KvPort, Transaction } from '../store/kv.ts';
import { besides, inBatches, layout, leaseValue } from './bench-etcd.ts';
import type { Take } from './callers.ts';

declare module '../store/etcd-call.ts' {
  /** The plain calls of etcd, which Lanius has no use for: it writes transactions only. */
  interface UnaryMethods {
    'KV/put': [{ key: Buffer; value: Buffer }, unknown];
    'KV/deleteRange': [{ key: Buffer }, unknown];
  }
}

const TIMEOUT_MS = 10_000;

/** etcd's own Put of one lease's bytes, and its DeleteRange: nothing is compared, nothing is safe. */
export function rawPut(transport: EtcdTransport, host: string): Take<string> {
  let turn = 0;
  return async () => {
    turn += 1;
    const key = Buffer.from(`${besides('put')}${host}/${turn}`);
    const value = Buffer.from(JSON.stringify(leaseValue(host, `put.${turn}`)));
    await transport.call('KV/put', { key, value }, TIMEOUT_MS);
    return { taken: key.toString(), giveBack: () => transport.call('KV/deleteRange', { key }, TIMEOUT_MS) };
  };
}

/** One transaction of the shape of a lease, on an address that is surely free: fence; nested: absent, two puts. */
export function rawFenced(kv: KvPort, session: Session, host: string): Take<string> {
  // A pool for each host, large enough for all of the run.
  const base = (BigInt(`0x${Buffer.from(host).toString('hex')}`) % 64n) << 24n;
  const subnet: Cidr = { family: 4, base, prefixLength: 8 };
  const fenced = (txn: Transaction): Promise<unknown> => {
    const epoch = session.epoch ?? 0;
    const compare = [session.fence(epoch)];
    return kv.txn(
      { compare, success: [{ do: 'txn', txn }], failure: [session.fenceRead] },
      { timeoutMs: TIMEOUT_MS },
    );
  };
  let next = subnet.base;
  return async () => {
    next += 1n;
    const steps = new LeaseSteps(layout, host, subnet, { family: 4, value: next });
    await fenced(steps.take(leaseValue(host, `raw.${next}`)).txn);
    const { success } = steps.release({ createRevision: 0 }).txn;
    return { taken: String(next), giveBack: () => fenced({ compare: [], success }) };
  };
}

/** Where Shrike keeps a pool: a key for each free address, and one for each that is assigned. */
export function shrikeKeys(subnet: Cidr) {
  const prefix = `${besides('shrike')}${ipToHex({ family: subnet.family, value: subnet.base })}`;
  return {
    pool: `${prefix}/pool/`,
    free: (address: IpAddress): string => `${prefix}/pool/${ipToHex(address)}`,
    assigned: (address: IpAddress): string => `${prefix}/assigned/${ipToHex(address)}`,
  };
}

/** @param taken addresses that are assigned from now on @param free addresses that come into the pool */
export async function shrikeFill(
  kv: KvPort,
  subnet: Cidr,
  taken: readonly IpAddress[],
  free: readonly IpAddress[],
): Promise<void> {
  const keys = shrikeKeys(subnet);
  const send = (success: Transaction['success']) => kv.txn({ compare: [], success }, { timeoutMs: 60_000 });
  await inBatches(taken, 60, (batch) =>
    send(
      batch.flatMap((address) => [
        { do: 'delete', range: { key: keys.free(address) } },
        { do: 'put', key: keys.assigned(address), value: formatIp(address) },
      ]),
    ),
  );
  await inBatches(free, 120, (batch) =>
    send(batch.map((address) => ({ do: 'put', key: keys.free(address), value: formatIp(address) }))),
  );
}

/** Shrike's algorithm: list the pool, take the first, check that it is not assigned, delete it, set it assigned. */
export function shrike(kv: KvPort, subnet: Cidr): Take<string> {
  const keys = shrikeKeys(subnet);
  const limit = { timeoutMs: 60_000 };
  const only = (operation: Transaction['success'][number]) =>
    kv.txn({ compare: [], success: [operation] }, limit);
  const take = async (): Promise<IpAddress> => {
    for (;;) {
      const { kvs } = await kv.range({ prefix: keys.pool }, limit);
      const [first] = kvs;
      if (first === undefined) throw new Error('the pool of Shrike is empty');
      const address = ipFromHex(first.key.slice(keys.pool.length));
      const { count } = await kv.range({ key: keys.assigned(address) }, limit);
      if (count > 0) continue;
      const [deleted] = (await only({ do: 'delete', range: { key: keys.free(address) } })).results;
      if (deleted?.did !== 'delete' || deleted.deleted === 0) continue;
      await only({ do: 'put', key: keys.assigned(address), value: formatIp(address) });
      return address;
    }
  };
  return async () => {
    const address = await take();
    const giveBack = async (): Promise<void> => {
      await only({ do: 'delete', range: { key: keys.assigned(address) } });
      await only({ do: 'put', key: keys.free(address), value: formatIp(address) });
    };
    return { taken: formatIp(address), giveBack };
  };
}
