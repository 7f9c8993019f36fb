/**
 * The etcd of a benchmark: a process of its own on a real disk, synced, with the tuning of the embedded one, and the
 * quick ways to put many leases of other hosts into it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Cidr, IpAddress } from '../core/ip.ts';
import { LeaseSteps } from '../ipam/lease/lease-steps.ts';
import { etcdFlags } from '../store/embedded-etcd-process.ts';
import type { KvPort, Operation } from '../store/kv.ts';
import { type Layout, layoutOf } from '../store/layout.ts';
import type { LeaseValue } from '../store/schema.ts';
import { EtcdProcess } from '../test/support/etcd-process.ts';

export const layout = layoutOf('/lanius/v1/');

/** On a disk: /tmp is often memory, where a sync costs nothing. */
const DISK = '/var/tmp';
/** Two operations each; etcd takes 128 a transaction. */
const LEASES_A_TRANSACTION = 60;
const TRANSACTIONS_AT_ONCE = 8;
const TUNING = /^--(backend|auto-compaction|quota)/;

/** What the embedded etcd is tuned with; its places, names and log are its own. */
export function tuningFlags(): string[] {
  return etcdFlags({ dataDir: '', clientPort: 0, peerPort: 0 }).filter((flag) => TUNING.test(flag));
}

/** A folder on a real disk, in which everything of a run lies; also what asks for the system's temp folder. */
export function diskFolder(): { readonly path: string; remove(): void } {
  const before = process.env['TMPDIR'];
  const path = mkdtempSync(join(before ?? DISK, 'lanius-bench-'));
  process.env['TMPDIR'] = path;
  const remove = (): void => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  return { path, remove };
}

export function startEtcd(flags: readonly string[] = []): Promise<EtcdProcess> {
  return EtcdProcess.start([...tuningFlags(), ...flags]);
}

/** A lease as a daemon writes it. */
export function leaseValue(host: string, request: string): LeaseValue {
  return { v: 1, state: 'pending', host, request, bootId: BOOT_ID, at: Date.now() };
}

const BOOT_ID = '5f0c1d9e-7a42-4c0b-9b1e-3f2d6a8e4c71';

/** Leases of other hosts, by the hundred: each address gets its lease and its place in that host's index. */
export async function fill(
  kv: KvPort,
  subnet: Cidr,
  addresses: readonly IpAddress[],
  hostOf: (index: number) => string,
): Promise<void> {
  const operations = (address: IpAddress, index: number): readonly Operation[] => {
    const host = hostOf(index);
    return new LeaseSteps(layout, host, subnet, address).take(leaseValue(host, `fill.${index}`)).txn.success;
  };
  await inBatches(addresses, LEASES_A_TRANSACTION, (batch, start) =>
    kv.txn(
      { compare: [], success: batch.flatMap((address, i) => operations(address, start + i)) },
      { timeoutMs: 30_000 },
    ),
  );
}

/** Batches of `items`, some at once. @param send gets a batch and the index of its first item */
export async function inBatches<T>(
  items: readonly T[],
  size: number,
  send: (batch: readonly T[], start: number) => Promise<unknown>,
  atOnce: number = TRANSACTIONS_AT_ONCE,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const start = next;
      next += size;
      await send(items.slice(start, start + size), start);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

/** A key prefix that is not in the way of what Lanius stores. */
export function besides(name: string): Layout['prefix'] {
  return `/bench/${name}/`;
}
