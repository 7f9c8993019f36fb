/** `ShapingPort` over the kernel worker. Must not decide rates, nor who gets them. */
import { FIRST, type KernelWorker, LAST, NEXT } from '../kernel-worker.ts';
import type { EndpointTraffic, ShapeOutcome, ShapePlace, ShapePlan, ShapingPort } from '../shaping-port.ts';
import { lacking, type ShapingFeatures, wayOfReceiving, wayOfSending } from './features.ts';
import { FoundFeatures } from './found-features.ts';

export type { ShapingFeatures } from './features.ts';

export interface KernelShapingOptions {
  /** What may be used; by default all that the kernel has. */
  readonly features?: ShapingFeatures;
}

export class KernelShaping implements ShapingPort {
  readonly #worker: KernelWorker;
  readonly #features: FoundFeatures;

  constructor(worker: KernelWorker, { features }: KernelShapingOptions = {}) {
    this.#worker = worker;
    this.#features = new FoundFeatures(
      async () => features ?? (await worker.request('shapingProbe', undefined, FIRST)),
    );
  }

  async supported(): Promise<true | string> {
    const features = await this.#features.get();
    const ways = [wayOfSending(features), wayOfReceiving(features)];
    if (ways.every(({ because }) => because === undefined)) return true;
    const parts = ['tbf', 'clsact', 'ifb', 'redirect'] as const;
    return lacking(parts, features);
  }

  async apply(place: ShapePlace, plan: ShapePlan): Promise<ShapeOutcome | undefined> {
    const features = await this.#features.get();
    const { outcome, unused } = await this.#worker.request('shapingApply', { place, plan, features }, FIRST);
    // Behind everything that waits: each deletion holds the worker for tens of milliseconds.
    for (const ifb of unused) await this.#worker.request('shapingSweep', { place, ifb }, LAST);
    return outcome;
  }

  removeBypasses(
    place: Extract<ShapePlace, { at: 'sandbox' }>,
    endpointIds?: readonly string[],
  ): Promise<readonly string[]> {
    const known = endpointIds === undefined ? {} : { endpointIds };
    return this.#worker.request('shapingBypasses', { place, ...known }, NEXT);
  }

  async traffic(places: readonly ShapePlace[]): Promise<readonly (EndpointTraffic | undefined)[]> {
    const found: (EndpointTraffic | undefined)[] = [];
    while (found.length < places.length) {
      found.push(...(await this.#worker.request('shapingTraffic', places.slice(found.length), LAST)));
    }
    return found;
  }
}
