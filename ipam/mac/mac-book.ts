/**
 * Which addresses of all pools have a MAC that does not follow from the address: this daemon's copy, fed by watches on those
 * few keys alone. Fixed MACs and quarantined addresses have an entry of their own (mac-entry.ts); routers and auxiliary
 * addresses of networks are known from the hosts' holds on them; and each host says which addresses it has itself.
 */
import { type Cidr, cidrHas, formatIp, type IpAddress, parseIp } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { KvPort } from '../../store/kv.ts';
import { type Layout, poolKeyOf } from '../../store/layout.ts';
import { PrefixCopy } from '../../store/prefix-copy.ts';
import { decode, macSchema, stationSchema } from '../../store/schema.ts';

/** Of one pool. */
export interface MacExceptions {
  readonly fixed: readonly { readonly address: IpAddress; readonly mac: string }[];
  /** To be asked for on the wire. */
  readonly ordinary: readonly IpAddress[];
}

export interface MacBookDependencies {
  readonly kv: Pick<KvPort, 'range' | 'watch'>;
  readonly layout: Layout;
  readonly logger: Logger;
}

const NONE: MacExceptions = { fixed: [], ordinary: [] };

export class MacBook {
  readonly #deps: MacBookDependencies;
  readonly #macs: PrefixCopy;
  readonly #holds: PrefixCopy;
  readonly #stations: PrefixCopy;
  readonly #listeners: (() => void)[] = [];
  /** Sorted by pool when first asked after a change. */
  #byPool: Map<string, MacExceptions> | undefined;
  /** With the machines among the pool's addresses, when first asked after a change. */
  readonly #known = new Map<string, MacExceptions>();
  #telling = false;

  constructor(deps: MacBookDependencies) {
    this.#deps = deps;
    const { kv, layout, logger } = deps;
    const onChange = (): void => this.#changed();
    this.#macs = new PrefixCopy({ prefix: layout.allMacs, what: 'MAC exceptions' }, { kv, onChange, logger });
    this.#holds = new PrefixCopy(
      { prefix: layout.allHolds, what: 'routers and auxiliary addresses', keysOnly: true },
      { kv, onChange, logger },
    );
    this.#stations = new PrefixCopy(
      { prefix: layout.stations, what: "hosts' own addresses" },
      { kv, onChange, logger },
    );
  }

  /** Before it is, nothing may be concluded from an address that has no exception. */
  get ready(): boolean {
    return this.#macs.ready && this.#holds.ready && this.#stations.ready;
  }

  /** Called after changes, some at a time, and when all was first read. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** @throws StoreUnavailable, and may be tried again */
  async load(): Promise<void> {
    await Promise.all([this.#macs.load(), this.#holds.load(), this.#stations.load()]);
  }

  async close(): Promise<void> {
    await Promise.all([this.#macs.close(), this.#holds.close(), this.#stations.close()]);
  }

  /** Disjoint, in no order. The same object as long as nothing has changed. */
  of(subnet: Cidr): MacExceptions {
    const pool = poolKeyOf(subnet);
    const known = this.#known.get(pool);
    if (known !== undefined) return known;
    this.#byPool ??= this.#sorted();
    const { fixed, ordinary } = this.#byPool.get(pool) ?? NONE;
    const taken = new Set([...fixed.map(({ address }) => address), ...ordinary].map(formatIp));
    const machines = this.#machines().filter((one) => cidrHas(subnet, one) && !taken.has(formatIp(one)));
    const found = { fixed, ordinary: [...ordinary, ...machines] };
    this.#known.set(pool, found);
    return found;
  }

  /** Addresses that are set aside because a stranger uses them. */
  quarantined(subnet: Cidr): IpAddress[] {
    const prefix = this.#deps.layout.macs(subnet);
    return [...this.#macs.entries()]
      .filter(([key]) => key.startsWith(prefix))
      .flatMap(([key, value]) =>
        this.#readable(key, () => decode(macSchema, key, value).mac === undefined)
          ? [this.#deps.layout.addressOf(key).address]
          : [],
      );
  }

  /** What a host says of its own addresses; undefined: nothing. */
  stationOf(host: string): string | undefined {
    return this.#stations.get(this.#deps.layout.station(host))?.value;
  }

  #machines(): IpAddress[] {
    const all = [...this.#stations.entries()].flatMap(
      ([key, value]) =>
        this.#readable(key, () => decode(stationSchema, key, value).addresses.map(parseIp)) ?? [],
    );
    return [...new Map(all.map((address) => [formatIp(address), address])).values()];
  }

  #changed(): void {
    this.#byPool = undefined;
    this.#known.clear();
    if (this.#telling || !this.ready) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }

  #sorted(): Map<string, MacExceptions> {
    const { layout } = this.#deps;
    const pools = new Map<string, Map<string, { address: IpAddress; mac: string | undefined }>>();
    const add = (pool: string, address: IpAddress, mac: string | undefined): void => {
      const known = pools.get(pool) ?? new Map<string, { address: IpAddress; mac: string | undefined }>();
      pools.set(pool, known);
      known.set(formatIp(address), { address, mac });
    };
    for (const [key, value] of this.#macs.entries()) {
      this.#readable(key, () => {
        const { subnet, address } = layout.addressOf(key);
        add(poolKeyOf(subnet), address, decode(macSchema, key, value).mac);
      });
    }
    for (const [key] of this.#holds.entries()) {
      const pool = key.slice(layout.allHolds.length).split('/')[0] ?? '';
      this.#readable(key, () => add(pool, layout.addressOfHold(key), undefined));
    }
    return new Map(
      [...pools].map(([pool, all]) => {
        const entries = [...all.values()];
        const fixed = entries.flatMap(({ address, mac }) => (mac === undefined ? [] : [{ address, mac }]));
        return [
          pool,
          { fixed, ordinary: entries.filter((one) => one.mac === undefined).map((one) => one.address) },
        ];
      }),
    );
  }

  /** One value that cannot be read must not hide the others. */
  #readable<T>(key: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (err) {
      this.#deps.logger.error('a value in etcd cannot be read: see lanius store check', { key, err });
      return undefined;
    }
  }
}
