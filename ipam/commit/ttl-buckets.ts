/**
 * TTLs that many keys share: one grant serves all keys that are written within a while, so that a release costs no
 * grant of its own. Each key lives at least as long as was asked for, and at most that while longer.
 *
 * A TTL may be gone when it is used (etcd was away, or restored): a put that names it is then refused with NotFound
 * (store/kv.ts); `forget` it and ask again.
 */
import type { Clock } from '../../core/clock.ts';
import type { KvPort } from '../../store/kv.ts';

/** A release must not wait for long. */
const GRANT_TIMEOUT_MS = 500;
const LEAST_WHILE_SECONDS = 5;
/** Lengths that are remembered. */
const MOST_BUCKETS = 64;

interface Bucket {
  readonly ttlId: Promise<string>;
  readonly untilMs: number;
}

export class TtlBuckets {
  readonly #deps: { readonly kv: KvPort; readonly clock: Clock };
  readonly #buckets = new Map<number, Bucket>();

  constructor(deps: { readonly kv: KvPort; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** @returns a TTL on which a key that is put soon lives at least `seconds` @throws StoreUnavailable */
  async ttl(seconds: number): Promise<string> {
    const { kv, clock } = this.#deps;
    const known = this.#buckets.get(seconds);
    if (known !== undefined && clock.now() < known.untilMs) return known.ttlId;
    this.#buckets.delete(seconds);
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined && this.#buckets.size >= MOST_BUCKETS) this.#buckets.delete(oldest);
    const whileSeconds = Math.ceil(Math.max(LEAST_WHILE_SECONDS, seconds / 8));
    const ttlId = kv.ttlGrant(seconds + whileSeconds, { timeoutMs: GRANT_TIMEOUT_MS });
    const bucket = { ttlId, untilMs: clock.now() + whileSeconds * 1000 };
    this.#buckets.set(seconds, bucket);
    try {
      return await ttlId;
    } catch (error) {
      if (this.#buckets.get(seconds) === bucket) this.#buckets.delete(seconds);
      throw error;
    }
  }

  /** etcd does not know this TTL any more. */
  async forget(ttlId: string): Promise<void> {
    for (const [seconds, bucket] of this.#buckets) {
      if ((await bucket.ttlId.catch(() => undefined)) === ttlId && this.#buckets.get(seconds) === bucket)
        this.#buckets.delete(seconds);
    }
  }
}
