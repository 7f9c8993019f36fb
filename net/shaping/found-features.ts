/** What the kernel can do for limits, asked of it by trying and remembered: for good what is complete, the rest for a while. */
import type { ShapingFeatures } from './features.ts';

/** An operator may load a module, or have memory again. */
const LACKING_MS = 60_000;

export class FoundFeatures {
  readonly #probe: () => Promise<ShapingFeatures>;
  readonly #now: () => number;
  #found: Promise<ShapingFeatures> | undefined;
  #untilMs = Number.POSITIVE_INFINITY;

  /** @param now in milliseconds */
  constructor(probe: () => Promise<ShapingFeatures>, now: () => number = () => performance.now()) {
    this.#probe = probe;
    this.#now = now;
  }

  /** @throws what the probe throws; then it is probed anew the next time */
  get(): Promise<ShapingFeatures> {
    if (this.#now() >= this.#untilMs) this.#found = undefined;
    this.#found ??= this.#ask();
    return this.#found;
  }

  async #ask(): Promise<ShapingFeatures> {
    this.#untilMs = Number.POSITIVE_INFINITY;
    try {
      const features = await this.#probe();
      if (Object.values(features).some((part) => part !== true)) this.#untilMs = this.#now() + LACKING_MS;
      return features;
    } catch (error) {
      this.#untilMs = Number.NEGATIVE_INFINITY;
      throw error;
    }
  }
}
