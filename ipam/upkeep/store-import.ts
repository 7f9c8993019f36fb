/**
 * `lanius store import`: writes what an export has and the store has not. What stands already stays as it is: equal
 * keys are skipped, different ones are told. So an import may be repeated, or go on after a kill.
 *
 * Every write is a fenced step of the Committer, which sends them in batches. A lease is written together with its
 * host's index entry and its name, as ipam/lease/lease-steps.ts would.
 */
import type { z } from 'zod';
import type { Clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { DriverError } from '../../core/errors.ts';
import { cidrsOverlap, formatCidr, formatIp, ipFromHex } from '../../core/ip.ts';
import type { Compare, KvPort, Operation, OperationResult } from '../../store/kv.ts';
import { type Layout, subnetOfPoolKey } from '../../store/layout.ts';
import {
  decode,
  hostSchema,
  type LeaseValue,
  leaseSchema,
  type NameValue,
  type PoolValue,
  poolSchema,
} from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { StepResult } from '../commit/step.ts';
import { macOperations } from '../mac/mac-entry.ts';
import { isKnown, readPools } from '../pool/pool-lookup.ts';
import type { StoreEntry } from './store-format.ts';
import type { StoreSpool } from './store-spool.ts';
import { isInUse, isNamed } from './store-view.ts';

export interface StoreImportDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly clock: Clock;
}

export interface ImportResult {
  readonly written: number;
  /** Stood there already, equal or held by the same container. */
  readonly skipped: number;
  /** Pools that a daemon had made anew, and that got their settings back. */
  readonly completed: number;
  /** What stands there is something else, one line each; at most {@link MOST_CONFLICTS}. */
  readonly conflicts: readonly string[];
  /** All of them. */
  readonly conflictCount: number;
}

type Fate = 'written' | 'skipped' | 'completed' | { readonly conflict: string };

const MOST_CONFLICTS = 1000;
/** Steps that wait at once: two transactions' worth, so that containers wait behind few. */
const AT_ONCE = 240;
const STEP_TIMEOUT_MS = 10_000;

export class StoreImport {
  readonly #deps: StoreImportDependencies;
  /** By seconds: one TTL of etcd for all that is kept as long. */
  readonly #ttls = new Map<number, Promise<string>>();
  /** Pools of the file that could not be made, by their part of a key: why. */
  readonly #refused = new Map<string, string>();

  constructor(deps: StoreImportDependencies) {
    this.#deps = deps;
  }

  /**
   * @param onProgress called with the number of entries dealt with so far
   * @throws StoreUnavailable; what was written until then stays, and importing again goes on
   */
  async run(spool: StoreSpool, onProgress: (keys: number) => void = () => {}): Promise<ImportResult> {
    const counts = { written: 0, skipped: 0, completed: 0, conflictCount: 0 };
    const conflicts: string[] = [];
    let batch: StoreEntry[] = [];
    let done = 0;
    const flush = async (): Promise<void> => {
      const fates = await Promise.all(batch.map((entry) => this.#take(entry)));
      for (const fate of fates) {
        if (typeof fate === 'string') counts[fate] += 1;
        else if (counts.conflictCount++ < MOST_CONFLICTS) conflicts.push(fate.conflict);
      }
      done += batch.length;
      batch = [];
      onProgress(done);
    };
    for await (const entry of spool.entries()) {
      // Pools change one counter, so one after the other; and what stands on them comes after them.
      const alone = entry.key.kind === 'pool';
      if (batch.length >= AT_ONCE || alone || batch[0]?.key.kind !== entry.key.kind) await flush();
      batch.push(entry);
    }
    await flush();
    return { ...counts, conflicts };
  }

  async #take(entry: StoreEntry): Promise<Fate> {
    const { key } = entry;
    const refused = 'pool' in key ? this.#refused.get(key.pool) : undefined;
    if (refused !== undefined) return { conflict: `${entry.path}: ${refused}` };
    switch (key.kind) {
      case 'host':
        return await this.#putHost(entry);
      case 'pool':
        return await this.#putPool(entry, key.pool);
      case 'lease':
        return await this.#putLease(entry, key.pool, key.hex);
      case 'limit':
        return this.#fateOf(await this.#putIfAbsent(entry), entry, () => ({
          conflict: `${entry.path}: another limit stands there`,
        }));
      case 'use':
      case 'hold':
        return this.#fateOf(await this.#putIfAbsent(entry), entry, () => 'skipped');
    }
  }

  async #putHost(entry: StoreEntry): Promise<Fate> {
    const there = await this.#putIfAbsent(entry);
    return this.#fateOf(there, entry, (standing) => {
      const there = readable(hostSchema, entry.path, standing);
      if (there === undefined) return damagedThere(entry.path);
      const [mine, other] = [decode(hostSchema, entry.path, entry.text).machineId, there.machineId];
      if (mine === other) return 'skipped';
      return { conflict: `${entry.path}: it is registered with another machine (${other}, not ${mine})` };
    });
  }

  async #putPool(entry: StoreEntry, pool: string): Promise<Fate> {
    const { kv, layout } = this.#deps;
    const subnet = subnetOfPoolKey(pool);
    const key = layout.prefix + entry.path;
    for (;;) {
      const [poolset, pools] = await Promise.all([kv.range({ key: layout.poolset }), readPools(kv, layout)]);
      const seen = pools.find((pool) => pool.kv.key === key);
      if (seen !== undefined && !isKnown(seen)) return damagedThere(entry.path);
      const standing = seen?.kv;
      if (standing === undefined) {
        const other = pools.map((pool) => pool.subnet).find((one) => cidrsOverlap(one, subnet));
        if (other !== undefined) {
          const reason = `pool ${formatCidr(subnet)} overlaps pool ${formatCidr(other)}, which stands there`;
          this.#refused.set(pool, reason);
          return { conflict: `${entry.path}: ${reason}` };
        }
      }
      const { name } = decode(poolSchema, key, entry.text);
      const namesake = pools.find((pool) => pool !== seen && name !== undefined && pool.value?.name === name);
      if (namesake !== undefined) {
        const reason = `name "${name}" is that of pool ${formatCidr(namesake.subnet)} there`;
        if (seen === undefined) this.#refused.set(pool, reason);
        return { conflict: `${entry.path}: ${reason}` };
      }
      const wanted = standing === undefined ? entry.text : completedPool(standing.value, entry.text, key);
      if (wanted === undefined) return { conflict: `${entry.path}: it stands there with other settings` };
      if (wanted === standing?.value) return 'skipped';
      const [counter] = poolset.kvs;
      const result = await this.#submit('poolset', {
        compare: [unchanged(layout.poolset, counter), unchanged(key, standing)],
        success: [
          { do: 'put', key, value: wanted },
          { do: 'put', key: layout.poolset, value: JSON.stringify({ v: 1 }) },
        ],
      });
      if (result.succeeded) return standing === undefined ? 'written' : 'completed';
    }
  }

  async #putLease(entry: StoreEntry, pool: string, hex: string): Promise<Fate> {
    const { layout } = this.#deps;
    const [subnet, address] = [subnetOfPoolKey(pool), ipFromHex(hex)];
    const key = layout.lease(subnet, address);
    const value = decode(leaseSchema, key, entry.text);
    const compare: Compare[] = [{ test: 'absent', key }];
    const ttl = await this.#ttlOf(value);
    const success: Operation[] = [{ do: 'put', key, value: entry.text, ...ttl }];
    const failure: Operation[] = [{ do: 'get', range: { key } }];
    success.push(...macOperations(layout.mac(subnet, address), undefined, value, ttl.ttlId));
    if (isInUse(value)) {
      const index = layout.byHostLease(value.host, subnet, address);
      success.push({ do: 'put', key: index, value: entry.text });
    }
    if (isNamed(value) && value.name !== undefined) {
      const nameKey = layout.name(subnet, value.name);
      const name: NameValue = { v: 1, address: formatIp(address) };
      compare.push({ test: 'absent', key: nameKey });
      success.push({ do: 'put', key: nameKey, value: JSON.stringify(name), ...ttl });
      failure.push({ do: 'get', range: { key: nameKey } });
    }
    const result = await this.#submit(key, { compare, success, failure });
    if (result.succeeded) return 'written';
    const standing = valueRead(result.results[0]);
    if (standing === undefined)
      return { conflict: `${entry.path}: name "${value.name}" has another address there` };
    if (standing === entry.text) return 'skipped';
    const there = readable(leaseSchema, key, standing);
    return there === undefined ? damagedThere(entry.path) : this.#compareLeases(entry.path, there, value);
  }

  #compareLeases(path: string, standing: LeaseValue, value: LeaseValue): Fate {
    const who = holder(standing);
    // A reserved address is in no host's hands: which one asked first is of no interest.
    const same = isInUse(standing)
      ? isInUse(value) &&
        standing.host === value.host &&
        (standing.endpointId === undefined ||
          value.endpointId === undefined ||
          standing.endpointId === value.endpointId)
      : !isInUse(value);
    if (!same) return { conflict: `${path}: ${who} has it there, not ${holder(value)}` };
    if (value.name === standing.name && value.role === standing.role) return 'skipped';
    return { conflict: `${path}: ${who} has it there, too, but not for the name "${value.name ?? ''}"` };
  }

  #putIfAbsent({ path, text }: StoreEntry): Promise<StepResult> {
    const key = this.#deps.layout.prefix + path;
    return this.#submit(key, {
      compare: [{ test: 'absent', key }],
      success: [{ do: 'put', key, value: text }],
      failure: [{ do: 'get', range: { key } }],
    });
  }

  #fateOf(result: StepResult, entry: StoreEntry, compare: (standing: string) => Fate): Fate {
    if (result.succeeded) return 'written';
    const standing = valueRead(result.results[0]);
    return standing === undefined || standing === entry.text ? 'skipped' : compare(standing);
  }

  /** A sticky reservation ends after its time, which begins anew. */
  async #ttlOf(value: LeaseValue): Promise<{ ttlId?: string }> {
    const { keepSeconds } = value;
    if (isInUse(value) || keepSeconds === undefined) return {};
    const granted = this.#ttls.get(keepSeconds) ?? this.#deps.kv.ttlGrant(keepSeconds);
    this.#ttls.set(keepSeconds, granted);
    return { ttlId: await granted };
  }

  #submit(lockKey: string, txn: Parameters<Committer['submit']>[0]['txn']): Promise<StepResult> {
    const deadline = deadlineAfter(STEP_TIMEOUT_MS, this.#deps.clock);
    return this.#deps.committer.submit({ lockKey, txn, deadline });
  }
}

/**
 * A pool that a daemon has made anew for its containers has no settings yet: it gets those of the file. Nothing that
 * stands is changed.
 * @returns undefined if the two differ
 */
function completedPool(standing: string, wanted: string, key: string): string | undefined {
  const [there, mine] = [decode(poolSchema, key, standing), decode(poolSchema, key, wanted)];
  const fields = new Map(Object.entries(mine));
  for (const [field, value] of Object.entries(there)) {
    if (field === 'madeBy' || field === 'at') continue;
    if (JSON.stringify(fields.get(field)) !== JSON.stringify(value)) return undefined;
  }
  const merged: PoolValue = { ...mine, ...there };
  return Object.keys(merged).length === Object.keys(there).length ? standing : JSON.stringify(merged);
}

/** Undefined if it is damaged: that must not end the import of everything else. */
function readable<T>(schema: z.ZodType<T>, key: string, text: string): T | undefined {
  try {
    return decode(schema, key, text);
  } catch {
    return undefined;
  }
}

function damagedThere(path: string): Fate {
  return { conflict: `${path}: its value there is damaged: see lanius store check` };
}

function holder(value: LeaseValue): string {
  if (!isInUse(value)) return value.name === undefined ? 'a network' : `the name "${value.name}"`;
  const who = value.containerName ?? value.endpointId?.slice(0, 12) ?? 'a container';
  return `${who} of host ${value.host}`;
}

function unchanged(key: string, kv: { readonly modRevision: number } | undefined): Compare {
  return kv === undefined ? { test: 'absent', key } : { test: 'modRevision', key, equals: kv.modRevision };
}

function valueRead(result: OperationResult | undefined): string | undefined {
  if (result?.did !== 'get')
    throw new DriverError('internal', 'etcd answered a transaction without its reads');
  return result.kvs[0]?.value;
}
