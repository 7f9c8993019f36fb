/**
 * Warm stock: addresses leased ahead to this host, so that a request that names nothing is answered from memory, in
 * microseconds and also while etcd is away. Off unless `ipam.warmStock` is set.
 *
 * INVARIANTS
 * - What is answered was leased to this host before (state warm), and is given out once. Its lease becomes pending
 *   afterwards, in the background; a crash between leaves a warm lease of an earlier process, which reconciliation
 *   keeps for a time of grace and binds if something uses it.
 * - No request is refused because of this stock: it is given back when the pool is short, and before a refusal.
 * - When etcd may have lost what it had, the stock is forgotten, not given out.
 */
import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { PoolExhausted, StoreUnavailable } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import { addressKey } from '../address/address-key.ts';
import type { Choice } from '../address/choice.ts';
import type { HeldLease } from '../lease/lease-table.ts';
import { stockTarget } from './warm-policy.ts';
import { WarmReturns } from './warm-returns.ts';
import { shelfKey, WarmShelf } from './warm-shelf.ts';

/** Leases as the stock needs them; implemented by ipam/lease/leases.ts. */
export interface WarmLeases {
  get(subnet: Cidr, address: IpAddress): HeldLease | undefined;
  /** @throws PoolExhausted, StoreUnavailable */
  takeWarm(subnet: Cidr, choice: Choice, deadline: Deadline): Promise<HeldLease>;
  /** Pending in memory at once, in etcd as soon as it answers. */
  bindWarm(held: HeldLease): void;
  giveBackWarm(held: HeldLease, deadline: Deadline): Promise<unknown>;
}

export interface WarmStockOptions {
  /** Addresses for each pool and choice, at most. */
  readonly size: number;
  /** Without a request for this long, the stock is given back. */
  readonly idleMs: number;
  /** Between two looks at how full the pool is, and after one that found it short. Default 30,000. */
  readonly checkMs?: number;
}

export interface WarmStockDependencies {
  readonly leases: WarmLeases;
  /** How full the ranges are; costs etcd little. @throws StoreUnavailable */
  readonly fullness: (subnet: Cidr, choice: Choice) => Promise<{ usable: bigint; taken: number }>;
  /** False when others may think that this host is dead, and its leases free. */
  readonly mayGiveOut: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

const TICK_MS = 1000;
const TAKE_MS = 5000;
/** How long an address that was given out counts as in use, although nothing shows it yet. */
const GIVEN_MS = 120_000;

export class WarmStock {
  readonly #options: WarmStockOptions;
  readonly #deps: WarmStockDependencies;
  readonly #shelves = new Map<string, WarmShelf>();
  /** When each address left the stock for a container, by address key. */
  readonly #given = new Map<string, number>();
  readonly #returns: WarmReturns;
  readonly #stocked = new Set<string>();
  #ticking: NodeJS.Timeout | undefined;
  /** Counts what made the stock void: what was taken before must not come in after. */
  #age = 0;
  #closed = false;

  constructor(options: WarmStockOptions, deps: WarmStockDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#returns = new WarmReturns(deps);
  }

  /** An address for a request that names nothing, from memory; undefined: ask etcd. Fills up behind the answer. */
  take(subnet: Cidr, choice: Choice): IpAddress | undefined {
    if (this.#closed || choice.own.length === 0) return undefined;
    const shelf = this.#shelfOf(subnet, choice);
    shelf.askedAtMs = this.#deps.clock.now();
    const held = this.#deps.mayGiveOut() ? this.#pop(shelf) : undefined;
    if (held !== undefined) this.#given.set(addressKey(held), shelf.askedAtMs);
    setImmediate(() => {
      if (held !== undefined) this.#bind(held);
      this.#wake(shelf);
    });
    return held?.address;
  }

  /** Does `request`; if the pool refuses it, or this very address, for our stock, again without the stock. */
  async sparing<T>(
    subnet: Cidr,
    request: () => Promise<T>,
    wanted: { readonly address?: IpAddress } = {},
  ): Promise<T> {
    const { address } = wanted;
    if (address !== undefined) await this.#giveBackThis(subnet, address);
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof PoolExhausted) || !(await this.#makeRoom(subnet))) throw error;
      return request();
    }
  }

  /** It is in the stock, or was given out a moment ago. */
  has(subnet: Cidr, address: IpAddress): boolean {
    const key = addressKey({ subnet, address });
    return this.#stocked.has(key) || this.#given.has(key);
  }

  /** Addresses in stock. */
  get size(): number {
    return this.#stocked.size;
  }

  /** etcd may have given them to others: nothing of it is given out, and reconciliation frees what still stands. */
  forget(): void {
    this.#age += 1;
    for (const shelf of this.#shelves.values()) this.#empty(shelf);
  }

  /** Gives back what is left, if etcd answers soon. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#ticking);
    await Promise.all(
      [...this.#shelves.values()].map((shelf) => this.#returns.giveBack(shelf.subnet, this.#empty(shelf))),
    );
  }

  #shelfOf(subnet: Cidr, choice: Choice): WarmShelf {
    const key = shelfKey(subnet, choice);
    const known = this.#shelves.get(key);
    if (known !== undefined) return known;
    const made = new WarmShelf(subnet, choice, this.#deps.clock.now());
    this.#shelves.set(key, made);
    this.#ticking ??= setInterval(() => this.#tick(), TICK_MS).unref();
    return made;
  }

  /** The next that memory still has as warm: others may have been freed by hand. */
  #pop(shelf: WarmShelf): HeldLease | undefined {
    for (;;) {
      const held = shelf.stock.shift();
      if (held === undefined) return undefined;
      this.#stocked.delete(addressKey(held));
      if (this.#isWarm(held)) return held;
    }
  }

  #isWarm(held: HeldLease): boolean {
    const now = this.#deps.leases.get(held.subnet, held.address);
    return now?.createRevision === held.createRevision && now.value.state === 'warm';
  }

  #bind(held: HeldLease): void {
    failpoint('warm.before-bind');
    // A container that failed at once may have released it already.
    if (this.#isWarm(held)) this.#deps.leases.bindWarm(held);
  }

  #tick(): void {
    const { clock } = this.#deps;
    const now = clock.now();
    for (const [key, at] of this.#given) if (now - at > GIVEN_MS) this.#given.delete(key);
    for (const [key, shelf] of this.#shelves) {
      if (now - shelf.askedAtMs > this.#options.idleMs) {
        this.#shelves.delete(key);
        void this.#returns.giveBack(shelf.subnet, this.#empty(shelf));
      } else {
        this.#wake(shelf);
      }
    }
    if (this.#shelves.size > 0 || this.#given.size > 0) return;
    clearInterval(this.#ticking);
    this.#ticking = undefined;
  }

  #wake(shelf: WarmShelf): void {
    if (shelf.tended || this.#closed) return;
    shelf.tended = true;
    void this.#tend(shelf)
      .catch((err: unknown) => {
        const pool = formatCidr(shelf.subnet);
        const level = err instanceof StoreUnavailable || err instanceof PoolExhausted ? 'debug' : 'warn';
        this.#deps.logger[level]('the stock of addresses could not be filled up', { pool, err });
        if (!(err instanceof StoreUnavailable)) this.#pause(shelf);
      })
      .finally(() => {
        shelf.tended = false;
      });
  }

  async #tend(shelf: WarmShelf): Promise<void> {
    const { clock } = this.#deps;
    if (clock.now() < shelf.pausedUntilMs) return;
    if (clock.now() - shelf.checkedAtMs >= (this.#options.checkMs ?? 30_000)) await this.#check(shelf);
    for (;;) {
      const missing = shelf.missing(clock.now());
      if (missing === 0 || this.#closed) return;
      await this.#fill(shelf, missing);
    }
  }

  async #check(shelf: WarmShelf): Promise<void> {
    const fullness = await this.#deps.fullness(shelf.subnet, shelf.choice);
    shelf.checkedAtMs = this.#deps.clock.now();
    const filled = shelf.target !== undefined && shelf.target > 0;
    const target = stockTarget(this.#options.size, shelf.total, fullness);
    if (target === 0) {
      this.#pause(shelf);
      return;
    }
    if (filled) shelf.calm();
    shelf.target = target;
    const surplus = shelf.stock.splice(target);
    for (const held of surplus) this.#stocked.delete(addressKey(held));
    await this.#returns.giveBack(shelf.subnet, surplus);
  }

  async #fill(shelf: WarmShelf, count: number): Promise<void> {
    const { leases, clock } = this.#deps;
    const deadline = deadlineAfter(TAKE_MS, clock);
    const failures: unknown[] = [];
    const late: HeldLease[] = [];
    const age = this.#age;
    const isLate = (): boolean =>
      this.#closed ||
      this.#age !== age ||
      shelf.target === 0 ||
      this.#shelves.get(shelfKey(shelf.subnet, shelf.choice)) !== shelf;
    const one = async (): Promise<void> => {
      try {
        const held = await leases.takeWarm(shelf.subnet, shelf.choice, deadline);
        if (isLate()) {
          late.push(held);
          return;
        }
        shelf.stock.push(held);
        this.#stocked.add(addressKey(held));
      } catch (error) {
        failures.push(error);
      }
    };
    await Promise.all(Array.from({ length: count }, one));
    await this.#returns.giveBack(shelf.subnet, late);
    if (failures.length > 0) throw failures[0];
  }

  #pause(shelf: WarmShelf): void {
    shelf.pause(this.#deps.clock.now());
    void this.#returns.giveBack(shelf.subnet, this.#empty(shelf));
  }

  #empty(shelf: WarmShelf): HeldLease[] {
    const left = shelf.stock.splice(0);
    for (const held of left) this.#stocked.delete(addressKey(held));
    return left;
  }

  /** @returns whether the pool has more room now */
  async #makeRoom(subnet: Cidr): Promise<boolean> {
    const pool = formatCidr(subnet);
    const back: HeldLease[] = [];
    for (const shelf of this.#shelves.values()) {
      if (formatCidr(shelf.subnet) !== pool) continue;
      shelf.pause(this.#deps.clock.now());
      back.push(...this.#empty(shelf));
    }
    void this.#returns.giveBack(subnet, back);
    return this.#returns.settled(subnet);
  }

  async #giveBackThis(subnet: Cidr, address: IpAddress): Promise<void> {
    const key = addressKey({ subnet, address });
    if (!this.#stocked.has(key)) return;
    for (const { stock } of this.#shelves.values()) {
      const at = stock.findIndex((held) => addressKey(held) === key);
      if (at < 0) continue;
      this.#stocked.delete(key);
      this.#deps.logger.debug('an address of the stock was asked for by name', {
        address: formatIp(address),
      });
      await this.#returns.giveBack(subnet, stock.splice(at, 1));
    }
  }
}
