/**
 * Endpoints that were refused because another endpoint of this host has their address (that of one name, or one
 * that the engine was answered long ago and came with late). The engine answers with a release of that address, which must not end the lease of the one that lives.
 */
import type { Clock } from '../../core/clock.ts';

/** The release follows at once; what comes later is the living one's. */
const LASTS_MS = 30_000;

export class RefusedEndpoints {
  readonly #clock: Clock;
  readonly #refused = new Map<string, number[]>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** @param key of the lease */
  note(key: string): void {
    this.#refused.set(key, [...this.#fresh(key), this.#clock.now()]);
  }

  /** Whether a release of that lease is that of a refused endpoint; it is so once for each. */
  take(key: string): boolean {
    const [first, ...rest] = this.#fresh(key);
    if (rest.length > 0) this.#refused.set(key, rest);
    else this.#refused.delete(key);
    return first !== undefined;
  }

  #fresh(key: string): number[] {
    const now = this.#clock.now();
    return (this.#refused.get(key) ?? []).filter((at) => now - at < LASTS_MS);
  }
}
