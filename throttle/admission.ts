/**
 * Whether a parent carries one more container: the limits of those that run, plus what is asked, against the capacity of the
 * NIC. Counted in this process alone, at once and without waiting, so that two starts cannot both take the last share; the
 * records of the host bring the counts back after a restart.
 *
 * INVARIANTS
 * - What runs is never refused nor taken away: a limit that an operator raises counts at once, whatever comes of it.
 * - A direction that is asked nothing of is never a reason to refuse.
 * - A direction whose capacity is not known refuses nothing.
 */
import { BandwidthExhausted } from '../core/errors.ts';
import { DIRECTIONS, type Direction, type Limits } from '../core/limit.ts';
import { formatRate } from '../core/rate.ts';

export interface AdmissionOptions {
  /** For texts. */
  readonly host: string;
  /** False: counts only. */
  readonly refuse: boolean;
  /** So many times the capacity may be promised; 1 and more. */
  readonly overcommit: number;
  /** What a container without a limit counts as. */
  readonly unlimited: Readonly<Partial<Record<Direction, number>>>;
}

/** In bits a second; a direction that is absent is not known. */
export type Capacity = Readonly<Partial<Record<Direction, number>>>;

export interface AdmissionDependencies {
  /** Of a parent, as configured or as its link says. From memory. */
  readonly capacityOf: (parent: string) => Capacity;
  readonly onChange: () => void;
}

/** Of one parent and direction, in bits a second. */
export interface BandwidthFigures {
  readonly capacity?: number;
  readonly committed: number;
  /** Capacity times overcommit, less committed; not below 0. */
  readonly free?: number;
}

export interface ParentFigures {
  readonly parent: string;
  readonly in: BandwidthFigures;
  readonly out: BandwidthFigures;
}

interface Commitment {
  readonly parent: string;
  readonly in: number;
  readonly out: number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #deps: AdmissionDependencies;
  /** By endpoint. */
  readonly #commitments = new Map<string, Commitment>();

  constructor(options: AdmissionOptions, deps: AdmissionDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** A start may be refused; where that is false nobody need wait for what a container asks. */
  get refuses(): boolean {
    return this.#options.refuse;
  }

  /**
   * Counts what a container that starts asks, or refuses it and counts nothing. Again for the same endpoint: instead of
   * what it asked before.
   * @throws BandwidthExhausted
   */
  admit(endpointId: string, parent: string, limits: Limits): void {
    const asked = this.#commitmentOf(parent, limits);
    if (this.#options.refuse) {
      for (const direction of DIRECTIONS) this.#check(endpointId, asked, direction);
    }
    this.#set(endpointId, asked);
  }

  /** Counts what an endpoint that runs has, whatever comes of it. Idempotent. */
  count(endpointId: string, parent: string, limits: Limits): void {
    this.#set(endpointId, this.#commitmentOf(parent, limits));
  }

  /** Its share is free at once. Idempotent. */
  left(endpointId: string): void {
    if (this.#commitments.delete(endpointId)) this.#deps.onChange();
  }

  /** @param parents with or without endpoints */
  figures(parents: Iterable<string>): ParentFigures[] {
    return [...new Set(parents)].sort().map((parent) => ({
      parent,
      in: this.#figuresOf(parent, 'in'),
      out: this.#figuresOf(parent, 'out'),
    }));
  }

  #check(endpointId: string, asked: Commitment, direction: Direction): void {
    const { host, overcommit } = this.#options;
    const capacity = this.#deps.capacityOf(asked.parent)[direction];
    if (capacity === undefined || asked[direction] === 0) return;
    const committed = this.#committed(asked.parent, direction, endpointId);
    if (committed + asked[direction] <= capacity * overcommit) return;
    const times = overcommit === 1 ? '' : ` times ${overcommit}`;
    throw new BandwidthExhausted(
      `parent ${asked.parent} of host ${host} has not the bandwidth for net_${direction}: capacity ` +
        `${formatRate(capacity)}${times}, committed ${formatRate(committed)}, asked ${formatRate(asked[direction])}: ` +
        `start it on another host, lower net_${direction}, or stop a container`,
      { details: { parent: asked.parent, direction, capacity, committed, asked: asked[direction] } },
    );
  }

  #figuresOf(parent: string, direction: Direction): BandwidthFigures {
    const capacity = this.#deps.capacityOf(parent)[direction];
    const committed = this.#committed(parent, direction);
    if (capacity === undefined) return { committed };
    return { capacity, committed, free: Math.max(0, capacity * this.#options.overcommit - committed) };
  }

  /** @param except an endpoint that is not counted */
  #committed(parent: string, direction: Direction, except?: string): number {
    let sum = 0;
    for (const [endpointId, commitment] of this.#commitments)
      if (commitment.parent === parent && endpointId !== except) sum += commitment[direction];
    return sum;
  }

  #commitmentOf(parent: string, limits: Limits): Commitment {
    const { unlimited } = this.#options;
    const of = (direction: Direction): number =>
      limits[direction]?.rateBitsPerSecond ?? unlimited[direction] ?? 0;
    return { parent, in: of('in'), out: of('out') };
  }

  #set(endpointId: string, commitment: Commitment): void {
    const before = this.#commitments.get(endpointId);
    this.#commitments.set(endpointId, commitment);
    const same =
      before?.parent === commitment.parent && before.in === commitment.in && before.out === commitment.out;
    if (!same) this.#deps.onChange();
  }
}
