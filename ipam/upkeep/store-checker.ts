/**
 * `lanius store check`: reads the whole store at one revision and judges it. What fits together is only counted
 * (store-survey.ts); what may not is read again, at the same revision, with all that belongs to it, and judged
 * (store-check.ts). So a store of a million leases needs little memory, and a busy one is never seen half-way.
 */
import type { Clock } from '../../core/clock.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { formatIp, ipFromHex, ipToHex, parseIp } from '../../core/ip.ts';
import type { KeyRange, KeyValue, KvPort } from '../../store/kv.ts';
import { type Layout, subnetOfPoolKey } from '../../store/layout.ts';
import { endOfPrefix, PAGE_TIMEOUT_MS, pagesOf } from '../../store/pages.ts';
import { leaseSchema, nameSchema } from '../../store/schema.ts';
import { checkStore } from './store-check.ts';
import type { Finding, StoreCounts } from './store-finding.ts';
import { StoreSurvey } from './store-survey.ts';
import { isNamed, seen } from './store-view.ts';

interface Range {
  readonly from: string;
  readonly to: string;
}

export interface StoreCheckerDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly clock: Clock;
}

export interface CheckResult {
  readonly revision: number;
  readonly counts: StoreCounts;
  readonly findings: readonly Finding[];
  /** More addresses are in doubt than are looked at in one run. */
  readonly more: boolean;
}

/** Addresses that are judged in one run; the next run judges the next ones. */
const MOST_DOUBTS = 2000;
/** Single keys that are read at once. */
const READS_AT_ONCE = 50;
const TRIES = 3;

export class StoreChecker {
  readonly #deps: StoreCheckerDependencies;

  constructor(deps: StoreCheckerDependencies) {
    this.#deps = deps;
  }

  /**
   * Changes nothing.
   * @param onProgress called with the number of keys read so far
   * @throws StoreUnavailable
   */
  async check(onProgress: (keys: number) => void = () => {}): Promise<CheckResult> {
    const { kv, layout } = this.#deps;
    for (let left = TRIES; ; left -= 1) {
      const { revision } = await kv.range({ key: layout.poolset });
      try {
        return await this.#checkAt(revision, onProgress);
      } catch (error) {
        if (left <= 1 || !isCompacted(error)) throw error;
      }
    }
  }

  async #checkAt(revision: number, onProgress: (keys: number) => void): Promise<CheckResult> {
    const { layout, clock } = this.#deps;
    const survey = new StoreSurvey(layout);
    let keys = 0;
    const read = async (ranges: readonly Range[]): Promise<void> => {
      for (const range of ranges) {
        for await (const page of pagesOf(this.#deps.kv, { ...range, revision })) {
          for (const kv of page) survey.add(kv);
          keys += page.length;
          onProgress(keys);
        }
      }
    };
    await read(this.#small());
    await read(this.#indexes(survey.small));
    const [from, to] = sectionOf(layout, 'leases/');
    await read([{ from, to }]);
    if (survey.hasDoubtfulEndpoints) {
      for await (const page of pagesOf(this.#deps.kv, { from, to, revision }))
        for (const kv of page) survey.addAgain(kv);
    }
    const doubts = [...survey.doubts()];
    const names = [...survey.doubtfulNames()];
    const closer = new CloserLook(this.#deps, revision);
    await closer.add(doubts.slice(0, MOST_DOUBTS), names.slice(0, MOST_DOUBTS));
    const findings = checkStore(layout, [...survey.small, ...closer.found.values()], clock.wall());
    return {
      revision,
      counts: survey.counts,
      findings: [...findings, ...(await this.#miscounted(survey.counts, findings, revision))],
      more: doubts.length > MOST_DOUBTS || names.length > MOST_DOUBTS,
    };
  }

  /** All but indexes and leases. */
  #small(): Range[] {
    const { layout } = this.#deps;
    let from = layout.prefix;
    const ranges = [];
    for (const [start, end] of [sectionOf(layout, 'by-host/'), sectionOf(layout, 'leases/')]) {
      ranges.push({ from, to: start });
      from = end;
    }
    return [...ranges, { from, to: endOfPrefix(layout.prefix) }];
  }

  /** All indexes, cut after each known host: for each page etcd counts to the end of its range. */
  #indexes(known: readonly KeyValue[]): Range[] {
    const { layout } = this.#deps;
    const [start, end] = sectionOf(layout, 'by-host/');
    const hosts = known.flatMap(({ key }) =>
      key.startsWith(layout.hosts) ? [key.slice(layout.hosts.length)] : [],
    );
    const cuts = [...hosts.map((host) => endOfPrefix(layout.byHost(host))).sort(), end];
    return cuts.map((to, index) => ({ from: cuts[index - 1] ?? start, to }));
  }

  /** The last belt: sums that no single finding explains. */
  async #miscounted(counts: StoreCounts, findings: readonly Finding[], revision: number): Promise<Finding[]> {
    if (findings.length > 0) return [];
    const { kv, layout } = this.#deps;
    const options = { countOnly: true, revision, timeoutMs: PAGE_TIMEOUT_MS };
    const { count } = await kv.range({ prefix: `${layout.prefix}leases/` }, options);
    const { leases, inUse, reserved, indexed } = counts;
    if (count === leases && leases === indexed + reserved && inUse === indexed) return [];
    const problem = `etcd counts ${count} leases; read: ${leases}, ${inUse} in use, ${reserved} reserved, ${indexed} in indexes`;
    return [
      {
        code: 'miscounted',
        object: 'the store',
        problem,
        advice: 'check again; if it stays, report this bug',
      },
    ];
  }
}

/** Reads what is in doubt with all that belongs to it, so that it can be judged by itself. */
class CloserLook {
  readonly found = new Map<string, KeyValue>();
  readonly #deps: StoreCheckerDependencies;
  readonly #revision: number;
  readonly #asked = new Set<string>();

  constructor(deps: StoreCheckerDependencies, revision: number) {
    this.#deps = deps;
    this.#revision = revision;
  }

  async add(
    addresses: readonly (readonly [id: string, hosts: ReadonlySet<string>])[],
    names: readonly string[],
  ): Promise<void> {
    const { layout } = this.#deps;
    const nameKeys = names.map((id) => `${layout.prefix}names/${id}`);
    await this.#read(addresses.flatMap(([id, hosts]) => [this.#leaseKey(id), ...this.#indexKeys(id, hosts)]));
    await this.#read(addresses.map(([id]) => `${layout.prefix}holds/${id}/`));
    await this.#read(addresses.map(([id]) => `${layout.prefix}macs/${id}`));
    await this.#read(nameKeys);
    // A doubtful lease leads to its name, that to another lease, and that to its index.
    for (let round = 0; round < 3; round += 1) await this.#read(this.#related());
  }

  #leaseKey(id: string): string {
    return `${this.#deps.layout.prefix}leases/${id}`;
  }

  #indexKeys(id: string, hosts: Iterable<string>): string[] {
    return [...hosts].map((host) => `${this.#deps.layout.prefix}by-host/${host}/${id}`);
  }

  #related(): string[] {
    const { prefix } = this.#deps.layout;
    return [...this.found.values()].flatMap((kv) => {
      const path = kv.key.slice(prefix.length);
      const [family, pool = '', last = ''] = path.split('/');
      if (family === 'leases') {
        const { value } = seen(kv, leaseSchema);
        if (value === undefined) return [];
        const name =
          isNamed(value) && value.name !== undefined ? [`${prefix}names/${pool}/${value.name}`] : [];
        return [...name, ...this.#indexKeys(`${pool}/${last}`, [value.host])];
      }
      if (family !== 'names') return [];
      const hex = hexOf(seen(kv, nameSchema).value?.address ?? '', pool);
      return hex === undefined ? [] : [this.#leaseKey(`${pool}/${hex}`)];
    });
  }

  /** @param keys a key that ends with `/` stands for all keys that start so */
  async #read(keys: readonly string[]): Promise<void> {
    const wanted = [...new Set(keys)].filter((key) => !this.#asked.has(key));
    for (const key of wanted) this.#asked.add(key);
    for (let i = 0; i < wanted.length; i += READS_AT_ONCE) {
      const ranges = wanted
        .slice(i, i + READS_AT_ONCE)
        .map((key): KeyRange => (key.endsWith('/') ? { prefix: key } : { key }));
      const options = { revision: this.#revision, timeoutMs: PAGE_TIMEOUT_MS };
      const results = await Promise.all(ranges.map((range) => this.#deps.kv.range(range, options)));
      for (const { kvs } of results) for (const kv of kvs) this.found.set(kv.key, kv);
    }
  }
}

function sectionOf(layout: Layout, name: string): [from: string, to: string] {
  return [layout.prefix + name, endOfPrefix(layout.prefix + name)];
}

function hexOf(address: string, pool: string): string | undefined {
  try {
    const ip = parseIp(address);
    return ip.family === subnetOfPoolKey(pool).family && formatIp(ipFromHex(ipToHex(ip))) === address
      ? ipToHex(ip)
      : undefined;
  } catch {
    return undefined;
  }
}

function isCompacted(error: unknown): boolean {
  return error instanceof StoreUnavailable && error.message.includes('no longer has that revision');
}
