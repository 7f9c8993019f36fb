/**
 * Every search for free addresses of this host, by pool and choice: remembered while they are used, and told of what
 * becomes free here. Says when cooling addresses are given, once a minute and pool.
 */
import type { Clock } from '../../core/clock.ts';
import { type Cidr, formatCidr, type IpAddress, type IpRange } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import { poolKeyOf } from '../../store/layout.ts';
import type { Choice } from '../address/choice.ts';
import { AddressSearch } from './address-search.ts';
import { Candidates } from './candidates.ts';
import type { LeaseReads } from './lease-reads.ts';

/** Choices and ranges whose guesses are remembered; another costs one read. */
const MOST_REMEMBERED = 256;
const WARN_EVERY_MS = 60_000;

export interface FreeAddressesDependencies {
  readonly reads: LeaseReads;
  /** Ours or under way on this host. */
  readonly busy: (subnet: Cidr, address: IpAddress) => boolean;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

export class FreeAddresses {
  readonly #deps: FreeAddressesDependencies;
  readonly #searches = new Map<string, AddressSearch>();
  readonly #candidates = new Map<string, Candidates>();
  readonly #warnedAtMs = new Map<string, number>();

  constructor(deps: FreeAddressesDependencies) {
    this.#deps = deps;
  }

  /** @param choice its ranges are what is remembered, not the object */
  of(subnet: Cidr, choice: Choice): AddressSearch {
    const id = `${poolKeyOf(subnet)} ${textOf(choice.own)} ${textOf(choice.borrow)}`;
    return remembered(this.#searches, id, () => {
      const { reads, clock } = this.#deps;
      return new AddressSearch(subnet, choice, {
        own: this.#candidatesOf(subnet, choice.own),
        borrow: this.#candidatesOf(subnet, choice.borrow),
        reads,
        clock,
        onWaived: () => this.#warn(formatCidr(subnet)),
      });
    });
  }

  /** @param rest how long the address rests, and the revision of its release; undefined: it is not free */
  released(
    subnet: Cidr,
    address: IpAddress,
    rest: { readonly seconds: number; readonly revision: number } | undefined,
  ): void {
    const pool = `${poolKeyOf(subnet)} `;
    if (rest !== undefined) {
      for (const [id, candidates] of this.#candidates)
        if (id.startsWith(pool)) candidates.giveBack(address, rest);
    }
    for (const [id, search] of this.#searches) if (id.startsWith(pool)) search.released();
  }

  #candidatesOf(subnet: Cidr, ranges: readonly IpRange[]): Candidates {
    return remembered(this.#candidates, `${poolKeyOf(subnet)} ${textOf(ranges)}`, () => {
      const { reads, busy, clock, random } = this.#deps;
      const source = {
        ranges,
        look: (spans: readonly IpRange[]) => reads.segment(subnet, spans),
        busy: (address: IpAddress) => busy(subnet, address),
      };
      return new Candidates(source, { clock, random });
    });
  }

  #warn(pool: string): void {
    const now = this.#deps.clock.now();
    if (now - (this.#warnedAtMs.get(pool) ?? Number.NEGATIVE_INFINITY) < WARN_EVERY_MS) return;
    this.#warnedAtMs.set(pool, now);
    this.#deps.logger.warn('the pool is short: addresses are given again before their cooling time is over', {
      pool,
    });
  }
}

function textOf(ranges: readonly IpRange[]): string {
  return ranges.map(({ first, last }) => `${first}-${last}`).join(',');
}

function remembered<T>(all: Map<string, T>, id: string, make: () => T): T {
  const known = all.get(id);
  if (known !== undefined) return known;
  const [oldest] = all.keys();
  if (oldest !== undefined && all.size >= MOST_REMEMBERED) all.delete(oldest);
  const made = make();
  all.set(id, made);
  return made;
}
