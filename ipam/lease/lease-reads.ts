/**
 * What the leases read from etcd of a pool: a segment's keys, counts, one lease, one name. Never a whole pool.
 */
import type { Cidr, IpAddress, IpRange } from '../../core/ip.ts';
import type { KeyRange, KeyValue, KvPort, Operation } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import type { Segment } from './candidates.ts';

/** Two reads each; etcd takes 128 in one transaction. */
const SPANS_AT_ONCE = 60;
/** Counts in flight at once. */
const COUNTS_AT_ONCE = 16;

export class LeaseReads {
  readonly #kv: KvPort;
  readonly #layout: Layout;

  constructor(deps: { readonly kv: KvPort; readonly layout: Layout }) {
    this.#kv = deps.kv;
    this.#layout = deps.layout;
  }

  /** Leases and cooling marks in these spans, keys only. @throws StoreUnavailable */
  async segment(subnet: Cidr, spans: readonly IpRange[]): Promise<Segment> {
    const taken = new Set<bigint>();
    const cooling = new Map<bigint, number>();
    for (let at = 0; at < spans.length; at += SPANS_AT_ONCE) {
      const success = spans.slice(at, at + SPANS_AT_ONCE).flatMap((span): Operation[] => [
        {
          do: 'get',
          range: this.#between(span, (address) => this.#layout.lease(subnet, address)),
          keysOnly: true,
        },
        {
          do: 'get',
          range: this.#between(span, (address) => this.#layout.cooling(subnet, address)),
          keysOnly: true,
        },
      ]);
      const { results } = await this.#kv.txn({ compare: [], success });
      results.forEach((result, index) => {
        if (result.did !== 'get') return;
        for (const { key, modRevision } of result.kvs) {
          if (index % 2 === 0) taken.add(addressValueOf(key));
          else cooling.set(addressValueOf(key), modRevision);
        }
      });
    }
    return { taken, cooling };
  }

  /** Lease keys in these ranges, as etcd itself counts them now. @throws StoreUnavailable */
  async count(subnet: Cidr, ranges: readonly IpRange[]): Promise<number> {
    let sum = 0;
    for (let at = 0; at < ranges.length; at += COUNTS_AT_ONCE) {
      const counts = ranges.slice(at, at + COUNTS_AT_ONCE).map((range) => {
        const keys = this.#between(range, (address) => this.#layout.lease(subnet, address));
        return this.#kv.range(keys, { countOnly: true });
      });
      for (const { count } of await Promise.all(counts)) sum += count;
    }
    return sum;
  }

  async lease(subnet: Cidr, address: IpAddress): Promise<KeyValue | undefined> {
    return this.#one(this.#layout.lease(subnet, address));
  }

  async name(subnet: Cidr, name: string): Promise<KeyValue | undefined> {
    return this.#one(this.#layout.name(subnet, name));
  }

  async #one(key: string): Promise<KeyValue | undefined> {
    return (await this.#kv.range({ key })).kvs[0];
  }

  #between({ family, first, last }: IpRange, keyOf: (address: IpAddress) => string): KeyRange {
    return { from: keyOf({ family, value: first }), to: `${keyOf({ family, value: last })}\0` };
  }
}

function addressValueOf(key: string): bigint {
  return BigInt(`0x${key.slice(key.lastIndexOf('/') + 1)}`);
}
