/**
 * How long a lease takes and how many there are a second, over the grid of alloc-cells.ts: processes of their own,
 * each a host with session, committer and leases as in the daemon, on a real etcd that syncs to a real disk and is
 * tuned as the embedded one is. Against a raw put, a raw fenced transaction and Shrike's algorithm, in turns.
 *
 * What counts as a lease is its allocation, with its release also done by the same caller before the next; a raw put
 * is followed by a raw delete in the same way. Addresses do not cool here (`coolingSeconds` 0): callers that do nothing
 * but take and give back would have used up every pool in seconds.
 */
import type { IpAddress } from '../core/ip.ts';
import { parseCidr, usableRange } from '../core/ip.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import type { KvPort } from '../store/kv.ts';
import { cellsOf, FULLNESS, isHeadline, POOLS, type Pool, takenIn } from './alloc-cells.ts';
import { AllocFleet } from './alloc-fleet.ts';
import { measureCell } from './alloc-measure.ts';
import { cellResults, contentionResults } from './alloc-results.ts';
import { shrikeFill } from './alloc-subjects.ts';
import { diskFolder, fill, startEtcd } from './bench-etcd.ts';
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { duplicatesIn } from './callers.ts';
import type { Result } from './report.ts';

export const allocBenchmark: Benchmark = {
  name: 'alloc',
  about: 'leases: time, transactions and number a second, against raw etcd and Shrike’s algorithm',
  needs: 'etcd',
  measure,
};

const PROCESSES = 4;
const WARM_STOCK = 32;
/** Hosts that the leases of a pool belong to. */
const OTHER_HOSTS = 300;
/** A pool in which 64 callers, who keep what they get for a while, are often in each other's way. */
const CONTENDED = { prefixLength: 20, full: 95, callers: 64, holdMs: 20 };

async function measure(options: BenchmarkOptions): Promise<Result[]> {
  const folder = diskFolder();
  try {
    const results: Result[] = [];
    // A new etcd for each, so that the history of one does not burden the next.
    const pools = POOLS.filter(
      ({ prefixLength }) => !options.quick || prefixLength === CONTENDED.prefixLength,
    );
    for (const pool of pools) results.push(...(await measurePool(pool, options)));
    return results;
  } finally {
    folder.remove();
  }
}

async function measurePool(pool: Pool, { quick, say }: BenchmarkOptions): Promise<Result[]> {
  const etcd = await startEtcd();
  const kv = new EtcdKv({ hosts: [etcd.host] });
  try {
    const results: Result[] = [];
    const filling = new Filling(kv, pool);
    for (const full of FULLNESS) {
      say(`/${pool.prefixLength}, ${full} % full`);
      await filling.upTo(full);
      results.push(...(await measureFullness(etcd.host, pool, full, quick)));
    }
    return results;
  } finally {
    kv.close();
    await etcd.stop();
  }
}

/** With new hosts: what they remembered as free would have been filled up behind their backs. */
async function measureFullness(etcd: string, pool: Pool, full: number, quick: boolean): Promise<Result[]> {
  const fleet = await AllocFleet.start(PROCESSES, { etcd, coolingSeconds: 0, warmStock: WARM_STOCK });
  try {
    const results: Result[] = [];
    for (const subject of ['put', 'fenced', 'lease'] as const) {
      const callers = PROCESSES * 8;
      // Where limits are held, until the code of all of them is compiled.
      const ms = isHeadline({ pool, full }) ? 2500 : 500;
      await fleet.do(PROCESSES, { subject, subnet: pool.emptySubnet, callers, ms: quick ? 100 : ms });
    }
    if (pool.prefixLength === CONTENDED.prefixLength && full === CONTENDED.full)
      results.push(...(await contention(fleet, pool, quick)));
    for (const cell of cellsOf(pool, full, quick))
      results.push(...cellResults(cell, await measureCell(fleet, cell)));
    return results;
  } finally {
    await fleet.stop();
  }
}

async function contention(fleet: AllocFleet, { subnet }: Pool, quick: boolean): Promise<Result[]> {
  const { prefixLength, full, callers, holdMs } = CONTENDED;
  const { outcomes } = await fleet.do(PROCESSES, {
    subject: 'lease',
    subnet,
    callers,
    holdMs,
    ms: quick ? 500 : 5000,
  });
  const holds = outcomes.flatMap(({ churn }) => churn.holds);
  const refused = outcomes.reduce((sum, { counts }) => sum + counts.refused, 0);
  const where = `/${prefixLength}, ${full} % full, ${callers} callers over ${PROCESSES} processes`;
  return contentionResults(`${where}, each lease held for up to ${holdMs} ms`, {
    leases: holds.length,
    retries: refused / holds.length,
    duplicates: duplicatesIn(holds),
  });
}

/** A pool that others fill up, at random; Shrike's pool has the same addresses taken. */
class Filling {
  readonly #kv: KvPort;
  readonly #pool: Pool;
  readonly #shuffled: readonly IpAddress[];
  #taken = 0;

  constructor(kv: KvPort, pool: Pool) {
    this.#kv = kv;
    this.#pool = pool;
    const { family, first, last } = usableRange(parseCidr(pool.subnet));
    const all: IpAddress[] = [];
    for (let value = first; value <= last; value += 1n) all.push({ family, value });
    this.#shuffled = shuffled(all);
  }

  async upTo(full: number): Promise<void> {
    const subnet = parseCidr(this.#pool.subnet);
    const taken = takenIn(this.#pool, full);
    const hostOf = (index: number): string => `other-${index % OTHER_HOSTS}`;
    await fill(this.#kv, subnet, this.#shuffled.slice(this.#taken, taken), hostOf);
    await shrikeFill(
      this.#kv,
      subnet,
      this.#shuffled.slice(this.#taken, taken),
      this.#taken === 0 ? this.#shuffled.slice(taken) : [],
    );
    this.#taken = taken;
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
