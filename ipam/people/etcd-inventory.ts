/** The inventory (inventory.ts) read from etcd on demand: for people, never on the way of a container. */

import { setImmediate as breathe } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { Conflict, NotFound } from '../../core/errors.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import { type Layout, poolKeyOf } from '../../store/layout.ts';
import { endOfPrefix, pagesOf } from '../../store/pages.ts';
import { bandwidthSchema, deadSchema, decode, hostSchema, leaseSchema } from '../../store/schema.ts';
import { sizeOf } from '../address/choice.ts';
import type { HostInfo, Inventory, LeaseFilter, LeaseInfo, PoolInfo } from '../inventory.ts';
import { holderText } from '../lease/lease-steps.ts';
import type { Leases } from '../lease/leases.ts';
import { isKnown, type KnownPool, poolNamed, poolOf, readPools, subnetOfKey } from '../pool/pool-lookup.ts';
import { openRanges } from '../pool/pool-policy.ts';
import { takenIn } from '../pool/pool-report.ts';
import { isAskedFor, leaseInfo } from './lease-info.ts';

export interface EtcdInventoryDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly host: string;
  /** Containers of this host that have the address now, by name. @throws EngineUnavailable */
  readonly usersOf: (subnet: Cidr, address: IpAddress) => Promise<readonly string[]>;
}

const RELEASE_TIMEOUT_MS = 3000;
/** Leases that are read at once, and those that are decoded before the daemon serves others. */
const PAGE = 5000;
const PART = 500;

export class EtcdInventory implements Inventory {
  readonly #deps: EtcdInventoryDependencies;

  constructor(deps: EtcdInventoryDependencies) {
    this.#deps = deps;
  }

  async pools(): Promise<PoolInfo[]> {
    const { kv, layout } = this.#deps;
    const infos: PoolInfo[] = [];
    const pools = await readPools(kv, layout);
    for (const pool of pools.filter(isKnown)) infos.push(await this.#poolInfo(pool));
    return infos;
  }

  async *leases(filter: LeaseFilter): AsyncGenerator<readonly LeaseInfo[]> {
    const { revision, prefixes } = await this.#prefixesOf(filter);
    for (const prefix of prefixes) {
      for await (const page of this.#pages(prefix, revision)) {
        for (let first = 0; first < page.length; first += PART) {
          const part = page.slice(first, first + PART).flatMap((item) => this.#leaseOf(item) ?? []);
          yield part.filter((lease) => isAskedFor(lease, filter));
          await breathe();
        }
      }
    }
  }

  async hosts(): Promise<HostInfo[]> {
    const { kv, layout } = this.#deps;
    const [hosts, sessions, marks, bandwidths] = await Promise.all([
      kv.range({ prefix: layout.hosts }),
      kv.range({ prefix: layout.sessions }, { keysOnly: true }),
      kv.range({ prefix: layout.deads }),
      kv.range({ prefix: layout.bandwidths }),
    ]);
    const told = new Map(
      bandwidths.kvs.map(({ key, value }) => [
        key.slice(layout.bandwidths.length),
        this.#readable(() => decode(bandwidthSchema, key, value).parents),
      ]),
    );
    const alive = new Set(sessions.kvs.map((session) => session.key.slice(layout.sessions.length)));
    const since = new Map(
      marks.kvs.map(({ key, value }) => [
        key.slice(layout.deads.length),
        this.#readable(() => decode(deadSchema, key, value).since),
      ]),
    );
    const infos = hosts.kvs.map(async (item): Promise<HostInfo[]> => {
      const host = item.key.slice(layout.hosts.length);
      const registered = this.#readable(() => decode(hostSchema, item.key, item.value));
      if (registered === undefined) return [];
      const { hostname, version, labels, firstSeenAt } = registered;
      const { count } = await kv.range({ prefix: layout.byHost(host) }, { countOnly: true });
      const bandwidth = alive.has(host) ? told.get(host) : undefined;
      const deadSince = alive.has(host) ? undefined : since.get(host);
      return [
        {
          host,
          alive: alive.has(host),
          ...(deadSince === undefined ? {} : { deadSince: iso(deadSince) }),
          ...(labels === undefined ? {} : { labels }),
          hostname,
          version,
          leases: count,
          firstSeen: iso(firstSeenAt),
          ...(bandwidth === undefined ? {} : { bandwidth }),
        },
      ];
    });
    return (await Promise.all(infos)).flat();
  }

  async release(pool: string, address: string, options: { readonly force: boolean }): Promise<LeaseInfo> {
    const ip = parseIp(address);
    const known = await readPools(this.#deps.kv, this.#deps.layout);
    const { subnet } = poolOf(known, pool === '' ? undefined : pool, ip);
    const { leases, host, clock } = this.#deps;
    const lease = (await this.#deps.kv.range({ key: this.#deps.layout.lease(subnet, ip) })).kvs[0];
    if (lease === undefined)
      throw new NotFound(`address ${address} of pool ${formatCidr(subnet)} has no lease: nothing to release`);
    const value = decode(leaseSchema, lease.key, lease.value);
    const info = leaseInfo(subnet, ip, value);
    if (info.state === 'reserved') {
      const end =
        info.name === undefined
          ? 'it goes with the last network that names it'
          : `end that with lanius ip unreserve ${address}`;
      throw new Conflict(`address ${address} is held by no container: ${holderText(value)}; ${end}`);
    }
    if (info.host !== host) {
      throw new Conflict(`address ${address} is held by host ${info.host}: release it there`);
    }
    const owner = leases.ownerOf(subnet, ip);
    if (!options.force) await this.#refuseIfUsed(subnet, ip);
    const held = {
      subnet,
      address: ip,
      createRevision: lease.createRevision,
      modRevision: lease.modRevision,
    };
    const deadline: Deadline = deadlineAfter(RELEASE_TIMEOUT_MS, clock);
    const released = await leases.releaseIfUnchanged({ ...held, value }, deadline, { owner });
    if (!released) throw new Conflict(`address ${address} has just changed: look again with lanius ip ls`);
    return info;
  }

  async #refuseIfUsed(subnet: Cidr, address: IpAddress): Promise<void> {
    const users = await this.#deps.usersOf(subnet, address);
    if (users.length > 0) {
      throw new Conflict(
        `address ${formatIp(address)} is in use by container ${users.join(', ')}: stop it first, or use --force and risk a duplicate`,
      );
    }
  }

  async #poolInfo({ subnet, value }: KnownPool): Promise<PoolInfo> {
    const { kv, layout } = this.#deps;
    const [taken, reserved, uses] = await Promise.all([
      kv.range({ prefix: layout.leases(subnet) }, { countOnly: true }),
      this.#reserved(subnet),
      kv.range({ prefix: layout.uses(subnet) }, { keysOnly: true }),
    ]);
    const open = openRanges(value, subnet);
    const usable = Number(sizeOf(open));
    return {
      pool: value.subnet,
      ...(value.name === undefined ? {} : { name: value.name }),
      ...(value.gateway === undefined ? {} : { gateway: value.gateway }),
      usable,
      leased: Math.max(0, taken.count - reserved),
      reserved,
      free: Math.max(0, usable - (await takenIn(open, subnet, this.#deps))),
      hosts: uses.kvs.map((use) => use.key.slice(layout.uses(subnet).length)),
    };
  }

  /** Addresses that no host holds: counted one by one only where names have addresses, or some may be set aside. */
  async #reserved(subnet: Cidr): Promise<number> {
    const { kv, layout } = this.#deps;
    const [names, macs] = await Promise.all([
      kv.range({ prefix: layout.names(subnet) }, { countOnly: true }),
      kv.range({ prefix: layout.macs(subnet) }, { countOnly: true }),
    ]);
    if (names.count + macs.count === 0) {
      const holds = await kv.range({ prefix: layout.holdsOfPool(subnet) }, { keysOnly: true });
      return new Set(holds.kvs.map((hold) => formatIp(layout.addressOfHold(hold.key)))).size;
    }
    let count = 0;
    for await (const page of this.#pages(layout.leases(subnet), names.revision)) {
      // Not decoded: a quote inside a JSON text is escaped, so this is the field.
      count += page.filter(({ value }) => value.includes('"state":"reserved"')).length;
    }
    return count;
  }

  #pages(prefix: string, revision: number): AsyncIterable<readonly KeyValue[]> {
    return pagesOf(this.#deps.kv, { from: prefix, to: endOfPrefix(prefix), revision, pageSize: PAGE });
  }

  /** Where the leases lie that are asked for, and the revision to read them at: the list is of one moment. */
  async #prefixesOf({ pool, host }: LeaseFilter): Promise<{ revision: number; prefixes: string[] }> {
    const { kv, layout } = this.#deps;
    const { kvs, revision } = await kv.range({ prefix: layout.pools }, { keysOnly: true });
    const all = kvs.flatMap(({ key }) => subnetOfKey(key, layout) ?? []);
    const subnets = pool === undefined ? all : [await this.#subnetOf(pool)];
    if (host === undefined) return { revision, prefixes: subnets.map((subnet) => layout.leases(subnet)) };
    const prefix = layout.byHost(host);
    const ofPool = subnets.map((subnet) => `${prefix}${poolKeyOf(subnet)}/`);
    return { revision, prefixes: pool === undefined ? [prefix] : ofPool };
  }

  /** A subnet without a pool may still have leases, and is taken as it is. */
  async #subnetOf(pool: string): Promise<Cidr> {
    if (pool.includes('/')) return parseCidr(pool);
    return poolNamed(await readPools(this.#deps.kv, this.#deps.layout), pool).subnet;
  }

  #leaseOf(item: KeyValue): LeaseInfo | undefined {
    return this.#readable(() => {
      const { subnet, address } = this.#deps.layout.addressOf(item.key);
      return leaseInfo(subnet, address, decode(leaseSchema, item.key, item.value));
    });
  }

  /** One value that cannot be read must not hide the others. */
  #readable<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (err) {
      this.#deps.logger.error('a value in etcd cannot be read and is left out of the list', { err });
      return undefined;
    }
  }
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
