/**
 * Address management as the engine sees it (address-service.ts): claims on pools, shared gateway and aux
 * addresses, leases.
 *
 * How an aux address is told from `--ip`: the wire does not say. A claim is "opening" from RequestPool until
 * CreateNetwork attaches it; what is asked for by address in that time is a gateway or aux address of the
 * network, and may be shared with other hosts. After that it is a container's, and exclusive.
 */
import type { Clock } from '../core/clock.ts';
import type { Deadline } from '../core/deadline.ts';
import { Conflict, InvalidRequest } from '../core/errors.ts';
import {
  type Cidr,
  cidrContains,
  cidrHas,
  formatCidr,
  formatIp,
  type IpAddress,
  parseCidr,
  parseIp,
  rangeHas,
  usableRange,
} from '../core/ip.ts';
import { parseMacPrefix } from '../core/mac.ts';
import type { ClaimRecord } from '../store/host-records.ts';
import type { LeaseLimits } from '../store/schema.ts';
import type {
  AddressGrant,
  AddressRequest,
  AddressService,
  LeaseHolder,
  NetworkAttachment,
  PoolGrant,
  PoolRequest,
  PoolSettings,
} from './address-service.ts';
import { KEEP_SECONDS } from './lease/afterwards.ts';
import type { Leases } from './lease/leases.ts';
import type { ClaimBook } from './pool/claim-book.ts';
import { isPoolId, parsePoolId } from './pool/claims.ts';
import type { ConfiguredPool } from './pool/configured-pools.ts';
import { LoopGuard } from './pool/loop-guard.ts';
import type { PoolBook } from './pool/pool-book.ts';
import { choosePool } from './pool/pool-choice.ts';
import { choiceFor, type Labels, nameOf } from './pool/pool-policy.ts';
import type { Pools } from './pool/pools.ts';
import type { WarmStock } from './warm/warm-stock.ts';

export interface AddressesOptions {
  readonly configuredPools: readonly ConfiguredPool[];
  readonly defaultPool?: string;
  /** `host.labels` */
  readonly labels?: Labels;
  /** How long after RequestPool a claim counts as opening, if no CreateNetwork comes, in milliseconds. */
  readonly openingMs?: number;
  /** @see LoopGuardOptions.waitMs; default 1000 */
  readonly loopWaitMs?: number;
}

/** What finds machines outside of Lanius that use an address. */
export interface Strangers {
  /** From memory. */
  wanted(networkId: string | undefined, address: IpAddress): boolean;
  /** @returns the MAC of who uses the address; undefined: nobody. Never throws */
  stranger(networkId: string, address: IpAddress): Promise<string | undefined>;
}

/** Addresses that are tried after ones that strangers use: a machine that answers for every address must not take long. */
const MOST_STRANGERS = 5;

export interface AddressesDependencies {
  readonly leases: Leases;
  readonly pools: Pools;
  readonly book: PoolBook;
  readonly claims: ClaimBook;
  readonly clock: Clock;
  /** Asks the wire who uses an address, for networks that want it. Absent: none does. */
  readonly strangers?: Strangers;
  /** Absent: this host keeps no addresses in stock. */
  readonly warmStock?: Pick<WarmStock, 'take' | 'sparing'>;
}

export class Addresses implements AddressService {
  readonly #options: AddressesOptions;
  readonly #deps: AddressesDependencies;
  /** Claims made by this process and not attached yet: when. */
  readonly #openedAt = new Map<string, number>();
  readonly #loop: LoopGuard;

  constructor(options: AddressesOptions, deps: AddressesDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#loop = new LoopGuard({ waitMs: options.loopWaitMs ?? 1000 }, deps.clock);
  }

  async requestPool(request: PoolRequest, deadline: Deadline): Promise<PoolGrant> {
    const { configuredPools: configured, defaultPool: defaultName, labels = {} } = this.#options;
    const { pools, claims, clock } = this.#deps;
    const offer = { pools: await pools.list(), configured, defaultName, labels };
    const { subnet, range } = choosePool(offer, request);
    const text = formatCidr(subnet);
    if (range !== undefined && !cidrContains(subnet, range)) {
      throw new InvalidRequest(
        `ip-range ${formatCidr(range)} is not inside subnet ${text}: choose a part of the subnet`,
      );
    }
    if (request.subnet === undefined) await this.#loop.check(text, deadline);
    const { range: rangeName, sticky } = request.options;
    const { poolId } = await claims.make({ subnet, range, rangeName, sticky }, deadline);
    this.#openedAt.set(poolId, clock.now());
    if (request.subnet === undefined) this.#loop.answered(poolId, text);
    return { poolId, subnet };
  }

  async releasePool(poolId: string, deadline: Deadline): Promise<void> {
    this.#loop.used(poolId);
    this.#openedAt.delete(poolId);
    await this.#deps.claims.drop(poolId, deadline);
  }

  async requestAddress(request: AddressRequest, deadline: Deadline): Promise<AddressGrant> {
    const { poolId, address } = request;
    this.#loop.used(poolId);
    const claim = await this.#deps.claims.find(poolId, deadline);
    const subnet = parseCidr(claim.subnet);
    if (address !== undefined) checkUsable(subnet, address);
    for (let found = 1; ; found += 1) {
      const granted = await this.#grant(request, claim, deadline);
      const mac = request.gateway ? undefined : await this.#strangerAt(claim, granted);
      if (mac === undefined) return { address: granted, prefixLength: subnet.prefixLength };
      const setAside = await this.#deps.leases.quarantine(subnet, granted, mac, deadline);
      if (address !== undefined || !setAside || found >= MOST_STRANGERS)
        throw strangerAt(granted, mac, setAside, found);
    }
  }

  async releaseAddress(poolId: string, address: IpAddress, deadline: Deadline): Promise<void> {
    if (!isPoolId(poolId)) return;
    const { subnet } = parsePoolId(poolId);
    if (this.#deps.leases.get(subnet, address) === undefined) {
      if (await this.#deps.claims.unhold(poolId, address, deadline)) return;
    }
    await this.#deps.leases.release(subnet, address);
  }

  async attachNetwork(attachment: NetworkAttachment): Promise<void> {
    for (const poolId of await this.#deps.claims.attach(attachment)) {
      this.#loop.used(poolId);
      this.#openedAt.delete(poolId);
    }
  }

  async confirmLease(
    subnet: Cidr,
    address: IpAddress,
    endpointId: string,
    deadline: Deadline,
    fixedMac?: string,
  ): Promise<void> {
    const { leases } = this.#deps;
    await leases.confirm(subnet, address, endpointId, deadline);
    await leases.setMac(subnet, address, fixedMac, deadline);
  }

  noteHolder(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    this.#deps.leases.noteHolder(subnet, address, holder);
  }

  noteLimits(subnet: Cidr, address: IpAddress, limits: LeaseLimits): void {
    this.#deps.leases.noteLimits(subnet, address, limits);
  }

  async poolSettings(subnet: Cidr, deadline: Deadline): Promise<PoolSettings> {
    const pool = await this.#deps.book.find(subnet, deadline);
    if (pool === undefined) return { title: formatCidr(subnet) };
    const { vlan, macPrefix } = pool;
    return {
      title: nameOf(pool),
      ...(vlan === undefined ? {} : { vlan }),
      ...(macPrefix === undefined ? {} : { macPrefix: parseMacPrefix(macPrefix) }),
    };
  }

  async #grant(request: AddressRequest, claim: ClaimRecord, deadline: Deadline): Promise<IpAddress> {
    const { poolId, address } = request;
    const { leases, claims } = this.#deps;
    const subnet = parseCidr(claim.subnet);
    if (request.gateway) {
      const gateway = address ?? (await this.#gatewayOf(subnet, deadline));
      await this.#sparing(subnet, () => claims.hold(poolId, gateway, 'gateway', deadline), {
        address: gateway,
      });
      return gateway;
    }
    if (address === undefined) return this.#grantAny(request, claim, subnet, deadline);
    const opening = this.#isOpening(poolId);
    if (!opening) this.#refuseGateway(subnet, address);
    const take = () =>
      opening
        ? claims.hold(poolId, address, 'aux', deadline)
        : leases.takeThis(subnet, address, deadline, request.endpointName);
    await this.#sparing(subnet, take, { address });
    return address;
  }

  async #grantAny(
    { endpointName }: AddressRequest,
    claim: ClaimRecord,
    subnet: Cidr,
    deadline: Deadline,
  ): Promise<IpAddress> {
    const { leases, book } = this.#deps;
    const pool = await book.find(subnet, deadline);
    const choice = choiceFor(pool, subnet, {
      labels: this.#options.labels ?? {},
      ...(endpointName === undefined ? {} : { containerName: endpointName }),
      ...(claim.range === undefined ? {} : { claimRange: parseCidr(claim.range) }),
      ...(claim.rangeName === undefined ? {} : { rangeName: claim.rangeName }),
    });
    if ((claim.sticky ?? pool?.sticky) !== true) {
      const stocked = this.#deps.warmStock?.take(subnet, choice);
      return stocked ?? this.#sparing(subnet, () => leases.takeAny(subnet, choice, deadline));
    }
    if (endpointName === undefined) {
      throw new InvalidRequest(
        `pool ${pool === undefined ? claim.subnet : nameOf(pool)} is sticky, and this engine does not tell the plugin ` +
          "the container's name (29 or later does): give the container --ip, and keep that address for it with lanius ip reserve",
      );
    }
    const keepSeconds = pool?.keepSeconds ?? KEEP_SECONDS;
    return this.#sparing(subnet, () =>
      leases.takeForName(subnet, endpointName, choice, { role: 'sticky', keepSeconds }, deadline),
    );
  }

  async #strangerAt({ networkId }: ClaimRecord, address: IpAddress): Promise<string | undefined> {
    const { strangers } = this.#deps;
    if (networkId === undefined || strangers?.wanted(networkId, address) !== true) return undefined;
    return strangers.stranger(networkId, address);
  }

  /** It is reserved only as long as a network has it, and an operator may have named another since. */
  #refuseGateway(subnet: Cidr, address: IpAddress): void {
    const pool = this.#deps.book.get(subnet);
    if (pool?.name === undefined || pool.gateway !== formatIp(address)) return;
    throw new Conflict(`address ${pool.gateway} is the gateway of pool ${nameOf(pool)}: choose another one`);
  }

  /** Nothing is refused because of this host's own stock. */
  #sparing<T>(subnet: Cidr, request: () => Promise<T>, wanted: { address?: IpAddress } = {}): Promise<T> {
    return this.#deps.warmStock?.sparing(subnet, request, wanted) ?? request();
  }

  /** The router that an operator named, in etcd or in the configuration; else what the pool's networks use. */
  async #gatewayOf(subnet: Cidr, deadline: Deadline): Promise<IpAddress> {
    const pool = await this.#deps.book.find(subnet, deadline);
    if (pool?.name !== undefined && pool.gateway !== undefined) return parseIp(pool.gateway);
    return this.#configuredGateway(subnet) ?? (await this.#deps.pools.gateway(subnet));
  }

  #configuredGateway(subnet: Cidr): IpAddress | undefined {
    const text = formatCidr(subnet);
    return this.#options.configuredPools.find((pool) => formatCidr(pool.subnet) === text)?.gateway;
  }

  #isOpening(poolId: string): boolean {
    const openedAt = this.#openedAt.get(poolId);
    return openedAt !== undefined && this.#deps.clock.now() - openedAt < (this.#options.openingMs ?? 30_000);
  }
}

function strangerAt(address: IpAddress, mac: string, setAside: boolean, found: number): Conflict {
  const ip = formatIp(address);
  const several = found > 1 ? `, and so were ${found - 1} before it` : '';
  const remedy = setAside
    ? `find that machine, or exclude its addresses from the pool; lanius ip unreserve ${ip} gives it free`
    : `it stays reserved for its name: find that machine, or give the name another address (lanius ip unreserve ${ip})`;
  return new Conflict(
    `address ${ip} is in use by a machine outside of Lanius (MAC ${mac} answered for it)${several}: ${remedy}`,
  );
}

function checkUsable(subnet: Cidr, address: IpAddress): void {
  const ip = formatIp(address);
  if (!cidrHas(subnet, address)) {
    throw new InvalidRequest(`address ${ip} is not in subnet ${formatCidr(subnet)}: choose one inside it`);
  }
  if (!rangeHas(usableRange(subnet), address)) {
    throw new InvalidRequest(
      `address ${ip} is the network or broadcast address of subnet ${formatCidr(subnet)}: choose another`,
    );
  }
}
