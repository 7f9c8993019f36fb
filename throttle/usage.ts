/**
 * What the containers of this host receive and send, by endpoint: sampled every second while somebody asks, every 10 s else, so
 * that totals go on. Keeps nothing of a sandbox open (net/shaping-port.ts).
 *
 * INVARIANTS
 * - One sample at a time. One that fails or takes long costs figures, nothing else.
 * - Whoever asks gets what is known, and waits for a sample only where the last one is old.
 */
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { EndpointTraffic, HostShapingPort, ShapePlace, ShapingPort } from '../net/shaping-port.ts';
import { type TrafficFigures, TrafficMeter } from './traffic-meter.ts';

/** Where an endpoint's traffic is counted. */
export interface MeasuredEndpoint {
  readonly endpointId: string;
  /** Its own link, or the parent that shapes it (`-o enforce=host`). */
  readonly place: ShapePlace | { readonly at: 'parent'; readonly parent: string };
}

export interface EndpointUsage {
  readonly endpointId: string;
  readonly in: TrafficFigures;
  readonly out: TrafficFigures;
}

export interface UsageOptions {
  /** Between two samples while somebody asks, in milliseconds. Default 1000. */
  readonly askedMs?: number;
  /** And while nobody does. Default 10,000. */
  readonly idleMs?: number;
  /** So long a question counts, in milliseconds. Default 5000. */
  readonly questionMs?: number;
  /** A question waits at most that long for a fresh sample, in milliseconds. Default 2000. */
  readonly waitMs?: number;
}

export interface UsageDependencies {
  readonly shaping: Pick<ShapingPort, 'traffic'>;
  /** Absent: no parent shapes. */
  readonly host?: Pick<HostShapingPort, 'traffic'>;
  /** All endpoints that are in a sandbox now. From memory. */
  readonly endpoints: () => readonly MeasuredEndpoint[];
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Meters {
  readonly in: TrafficMeter;
  readonly out: TrafficMeter;
}

export class Usage {
  readonly #options: Required<UsageOptions>;
  readonly #deps: UsageDependencies;
  readonly #meters = new Map<string, Meters>();
  #timer: NodeJS.Timeout | undefined;
  #sampling: Promise<void> | undefined;
  #sampledAt = Number.NEGATIVE_INFINITY;
  #askedUntil = Number.NEGATIVE_INFINITY;
  #started = false;

  constructor(options: UsageOptions, deps: UsageDependencies) {
    this.#options = { askedMs: 1000, idleMs: 10_000, questionMs: 5000, waitMs: 2000, ...options };
    this.#deps = deps;
  }

  /** Idempotent. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#schedule();
  }

  close(): void {
    this.#started = false;
    clearTimeout(this.#timer);
  }

  /** Figures of all endpoints that were ever counted and are still there. Never throws. */
  async figures(): Promise<EndpointUsage[]> {
    const { clock } = this.#deps;
    const now = clock.now();
    this.#askedUntil = now + this.#options.questionMs;
    if (this.#started) {
      this.#schedule();
      if (now - this.#sampledAt > 2 * this.#options.askedMs) await this.#fresh();
    }
    return this.known();
  }

  /** The same as they are, without a question: nothing is sampled for it. */
  known(): EndpointUsage[] {
    return [...this.#meters].map(([endpointId, meters]) => ({
      endpointId,
      in: meters.in.figures,
      out: meters.out.figures,
    }));
  }

  async #fresh(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.waitMs);
    });
    await Promise.race([this.#sample(), late]);
    clearTimeout(timer);
  }

  #schedule(): void {
    if (!this.#started || this.#sampling !== undefined) return;
    const now = this.#deps.clock.now();
    const { askedMs, idleMs } = this.#options;
    const dueMs = this.#sampledAt + (now < this.#askedUntil ? askedMs : idleMs);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#sample(), Math.max(0, dueMs - now)).unref();
  }

  #sample(): Promise<void> {
    this.#sampling ??= this.#measure()
      .catch((err: unknown) =>
        this.#deps.logger.debug('the traffic of containers could not be read', { err }),
      )
      .finally(() => {
        this.#sampling = undefined;
        this.#sampledAt = this.#deps.clock.now();
        this.#schedule();
      });
    return this.#sampling;
  }

  async #measure(): Promise<void> {
    const { endpoints, clock } = this.#deps;
    const measured = endpoints();
    const present = new Set(measured.map(({ endpointId }) => endpointId));
    for (const endpointId of this.#meters.keys())
      if (!present.has(endpointId)) this.#meters.delete(endpointId);
    const counters = await Promise.all([this.#onLinks(measured), ...this.#onParents(measured)]);
    const atMs = clock.now();
    for (const [endpointId, traffic] of counters.flatMap((some) => [...some])) {
      const meters = this.#meters.get(endpointId) ?? { in: new TrafficMeter(), out: new TrafficMeter() };
      this.#meters.set(endpointId, meters);
      meters.in.add(traffic.in, atMs);
      meters.out.add(traffic.out, atMs);
    }
  }

  async #onLinks(measured: readonly MeasuredEndpoint[]): Promise<Map<string, EndpointTraffic>> {
    const found = new Map<string, EndpointTraffic>();
    const own = measured.flatMap(({ endpointId, place }) =>
      place.at === 'parent' ? [] : [{ endpointId, place }],
    );
    if (own.length === 0) return found;
    const all = await this.#deps.shaping.traffic(own.map(({ place }) => place));
    for (const [index, { endpointId }] of own.entries()) {
      const traffic = all[index];
      if (traffic !== undefined) found.set(endpointId, traffic);
    }
    return found;
  }

  #onParents(measured: readonly MeasuredEndpoint[]): Promise<ReadonlyMap<string, EndpointTraffic>>[] {
    const { host } = this.#deps;
    const byParent = new Map<string, string[]>();
    for (const { endpointId, place } of measured) {
      if (place.at !== 'parent') continue;
      byParent.set(place.parent, [...(byParent.get(place.parent) ?? []), endpointId]);
    }
    if (host === undefined) return [];
    return [...byParent].map(async ([parent, endpointIds]) => {
      try {
        return await host.traffic(parent, endpointIds);
      } catch (err) {
        // One parent that has gone must not cost the figures of all others.
        this.#deps.logger.debug('the traffic on a parent could not be read', { parent, err });
        return new Map<string, EndpointTraffic>();
      }
    });
  }
}
