/** What the parents of this host carry: as configured, else as their links say. */
import type { Direction } from '../core/limit.ts';
import type { Capacity } from './admission.ts';

export interface CapacitiesOptions {
  /** By name of the parent, in bits a second; what is absent is asked of the link. */
  readonly configured: Readonly<Record<string, Readonly<Partial<Record<Direction, number>>>>>;
}

export interface CapacitiesDependencies {
  /** In bits a second; undefined where the link does not say. Cheap. */
  readonly speedOf: (parent: string) => number | undefined;
  readonly clock: { now(): number };
}

/** A link may negotiate another speed. */
const BELIEVED_MS = 10_000;

export class Capacities {
  readonly #options: CapacitiesOptions;
  readonly #deps: CapacitiesDependencies;
  readonly #speeds = new Map<string, { readonly speed: number | undefined; readonly untilMs: number }>();

  constructor(options: CapacitiesOptions, deps: CapacitiesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  of(parent: string): Capacity {
    const speed = this.speedOf(parent);
    const told = speed === undefined ? {} : { in: speed, out: speed };
    return { ...told, ...this.declared(parent) };
  }

  /** As configured alone: it stays whatever the link negotiates. */
  declared(parent: string): Capacity {
    return this.#options.configured[parent] ?? {};
  }

  /** Of the link itself, not older than some seconds. */
  speedOf(parent: string): number | undefined {
    const { speedOf, clock } = this.#deps;
    const known = this.#speeds.get(parent);
    if (known !== undefined && clock.now() < known.untilMs) return known.speed;
    const speed = speedOf(parent);
    this.#speeds.set(parent, { speed, untilMs: clock.now() + BELIEVED_MS });
    return speed;
  }
}
