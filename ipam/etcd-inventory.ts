/** The inventory (inventory.ts) read from etcd on demand: for people, never on the way of a container. */

import type { Clock } from '../core/clock.ts';
import { type Deadline, deadlineAfter } from '../core/deadline.ts';
import { Conflict, NotFound } from '../core/errors.ts';
import {
  type Cidr,
  cidrHas,
  formatCidr,
  formatIp,
  type IpAddress,
  parseCidr,
  parseIp,
  rangeSize,
  usableRange,
} from '../core/ip.ts';
import type { KeyValue, KvPort } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import { decode, hostSchema, leaseSchema, poolSchema } from '../store/schema.ts';
import type { HostInfo, Inventory, LeaseInfo, PoolInfo } from './inventory.ts';
import type { Leases } from './leases.ts';

export interface EtcdInventoryDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly host: string;
  /** Containers of this host that have the address now, by name. @throws EngineUnavailable */
  readonly usersOf: (subnet: Cidr, address: IpAddress) => Promise<readonly string[]>;
}

const RELEASE_TIMEOUT_MS = 3000;

export class EtcdInventory implements Inventory {
  readonly #deps: EtcdInventoryDependencies;

  constructor(deps: EtcdInventoryDependencies) {
    this.#deps = deps;
  }

  async pools(): Promise<PoolInfo[]> {
    const { kv, layout } = this.#deps;
    const pools = await kv.range({ prefix: layout.pools });
    return Promise.all(pools.kvs.map((pool) => this.#poolInfo(pool)));
  }

  async leases(filter: { readonly pool?: string; readonly host?: string }): Promise<LeaseInfo[]> {
    const { kv, layout } = this.#deps;
    const pools =
      filter.pool === undefined
        ? (await kv.range({ prefix: layout.pools })).kvs.map(subnetOf)
        : [parseCidr(filter.pool)];
    const found: LeaseInfo[] = [];
    for (const subnet of pools) {
      const { kvs } = await kv.range({ prefix: layout.leases(subnet) });
      found.push(...kvs.map((item) => this.#leaseInfo(item)));
    }
    return found.filter((lease) => filter.host === undefined || lease.host === filter.host);
  }

  async hosts(): Promise<HostInfo[]> {
    const { kv, layout } = this.#deps;
    const [hosts, sessions] = await Promise.all([
      kv.range({ prefix: layout.hosts }),
      kv.range({ prefix: layout.sessions }, { keysOnly: true }),
    ]);
    const alive = new Set(sessions.kvs.map((session) => session.key.slice(layout.sessions.length)));
    return Promise.all(
      hosts.kvs.map(async (item) => {
        const host = item.key.slice(layout.hosts.length);
        const value = decode(hostSchema, item.key, item.value);
        const { count } = await kv.range({ prefix: layout.byHost(host) }, { countOnly: true });
        const { hostname, version } = value;
        return {
          host,
          alive: alive.has(host),
          hostname,
          version,
          leases: count,
          firstSeen: iso(value.firstSeenAt),
        };
      }),
    );
  }

  async release(pool: string, address: string, options: { readonly force: boolean }): Promise<LeaseInfo> {
    const subnet = await this.#poolOf(pool, parseIp(address));
    const ip = parseIp(address);
    const { leases, host, clock } = this.#deps;
    const lease = (await this.#deps.kv.range({ key: this.#deps.layout.lease(subnet, ip) })).kvs[0];
    if (lease === undefined)
      throw new NotFound(`address ${address} of pool ${formatCidr(subnet)} has no lease: nothing to release`);
    const info = this.#leaseInfo(lease);
    if (info.state === 'reserved') {
      throw new Conflict(
        `address ${address} is a gateway or auxiliary address: it goes with the last network that names it`,
      );
    }
    if (info.host !== host) {
      throw new Conflict(`address ${address} is held by host ${info.host}: release it there`);
    }
    if (!options.force) await this.#refuseIfUsed(subnet, ip);
    const held = {
      subnet,
      address: ip,
      createRevision: lease.createRevision,
      modRevision: lease.modRevision,
    };
    const deadline: Deadline = deadlineAfter(RELEASE_TIMEOUT_MS, clock);
    const value = decode(leaseSchema, lease.key, lease.value);
    const released = await leases.releaseIfUnchanged({ ...held, value }, deadline);
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

  async #poolOf(pool: string, address: IpAddress): Promise<Cidr> {
    if (pool !== '') return parseCidr(pool);
    const { kv, layout } = this.#deps;
    const found = (await kv.range({ prefix: layout.pools })).kvs
      .map(subnetOf)
      .find((subnet) => cidrHas(subnet, address));
    if (found === undefined)
      throw new NotFound(`no pool has address ${formatIp(address)}: see lanius pool ls`);
    return found;
  }

  async #poolInfo(item: KeyValue): Promise<PoolInfo> {
    const { kv, layout } = this.#deps;
    const value = decode(poolSchema, item.key, item.value);
    const subnet = parseCidr(value.subnet);
    const [taken, holds, uses] = await Promise.all([
      kv.range({ prefix: layout.leases(subnet) }, { countOnly: true }),
      kv.range({ prefix: layout.holdsOfPool(subnet) }, { keysOnly: true }),
      kv.range({ prefix: layout.uses(subnet) }, { keysOnly: true }),
    ]);
    const reserved = new Set(holds.kvs.map((hold) => formatIp(layout.addressOfHold(hold.key)))).size;
    const usable = Number(rangeSize(usableRange(subnet)));
    return {
      pool: value.subnet,
      ...(value.gateway === undefined ? {} : { gateway: value.gateway }),
      usable,
      leased: taken.count - reserved,
      reserved,
      free: usable - taken.count,
      hosts: uses.kvs.map((use) => use.key.slice(layout.uses(subnet).length)),
    };
  }

  #leaseInfo(item: KeyValue): LeaseInfo {
    const { subnet, address } = this.#deps.layout.addressOf(item.key);
    const {
      v: _v,
      request: _request,
      bootId: _bootId,
      at,
      ...value
    } = decode(leaseSchema, item.key, item.value);
    return {
      pool: formatCidr(subnet),
      address: formatIp(address),
      ...withoutUndefined(value),
      since: iso(at),
    };
  }
}

function subnetOf(pool: KeyValue): Cidr {
  return parseCidr(decode(poolSchema, pool.key, pool.value).subnet);
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** zod's optional keys may be present and undefined; ours are absent. */
function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Defined<T>;
}
