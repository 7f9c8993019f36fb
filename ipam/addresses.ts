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
  rangeHas,
  usableRange,
} from '../core/ip.ts';
import type {
  AddressGrant,
  AddressRequest,
  AddressService,
  LeaseHolder,
  NetworkAttachment,
  PoolGrant,
  PoolRequest,
} from './address-service.ts';
import type { ClaimBook } from './claim-book.ts';
import { choiceRange, isPoolId, parsePoolId } from './claims.ts';
import { type ConfiguredPool, chooseConfiguredPool } from './configured-pools.ts';
import type { Leases } from './leases.ts';
import type { Pools } from './pools.ts';

/** The engine's loop asks again at once; a pool of which nothing was heard for longer was forgotten by it. */
const LOOP_MS = 5000;

export interface AddressesOptions {
  readonly configuredPools: readonly ConfiguredPool[];
  readonly defaultPool?: string;
  /** How long after RequestPool a claim counts as opening, if no CreateNetwork comes, in milliseconds. */
  readonly openingMs?: number;
}

export interface AddressesDependencies {
  readonly leases: Leases;
  readonly pools: Pools;
  readonly claims: ClaimBook;
  readonly clock: Clock;
}

export class Addresses implements AddressService {
  readonly #options: AddressesOptions;
  readonly #deps: AddressesDependencies;
  /** Claims made by this process and not attached yet: when. */
  readonly #openedAt = new Map<string, number>();
  /** Claims answered to a request without --subnet that nothing has followed yet: when. */
  readonly #unfollowed = new Map<string, number>();

  constructor(options: AddressesOptions, deps: AddressesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  async requestPool(request: PoolRequest, deadline: Deadline): Promise<PoolGrant> {
    const { subnet, range } = this.#choose(request);
    if (range !== undefined && !cidrContains(subnet, range)) {
      throw new InvalidRequest(
        `ip-range ${formatCidr(range)} is not inside subnet ${formatCidr(subnet)}: choose a part of the subnet`,
      );
    }
    const { poolId } = await this.#deps.claims.make(subnet, range, deadline);
    this.#openedAt.set(poolId, this.#deps.clock.now());
    if (request.subnet === undefined) this.#unfollowed.set(poolId, this.#deps.clock.now());
    return { poolId, subnet };
  }

  async releasePool(poolId: string, deadline: Deadline): Promise<void> {
    this.#followed(poolId);
    this.#openedAt.delete(poolId);
    await this.#deps.claims.drop(poolId, deadline);
  }

  async requestAddress(request: AddressRequest, deadline: Deadline): Promise<AddressGrant> {
    const { poolId, address } = request;
    this.#followed(poolId);
    const claim = await this.#deps.claims.find(poolId, deadline);
    const subnet = parseCidr(claim.subnet);
    if (address !== undefined) checkUsable(subnet, address);
    const granted = await this.#grant(request, subnet, claim.range, deadline);
    return { address: granted, prefixLength: subnet.prefixLength };
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
      this.#followed(poolId);
      this.#openedAt.delete(poolId);
    }
  }

  async confirmLease(
    subnet: Cidr,
    address: IpAddress,
    endpointId: string,
    deadline: Deadline,
  ): Promise<void> {
    await this.#deps.leases.confirm(subnet, address, endpointId, deadline);
  }

  noteHolder(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void {
    this.#deps.leases.noteHolder(subnet, address, holder);
  }

  async #grant(
    request: AddressRequest,
    subnet: Cidr,
    range: string | undefined,
    deadline: Deadline,
  ): Promise<IpAddress> {
    const { poolId, address } = request;
    const { leases, pools, claims } = this.#deps;
    if (request.gateway) {
      const gateway = address ?? this.#configuredGateway(subnet) ?? (await pools.gateway(subnet));
      await claims.hold(poolId, gateway, 'gateway', deadline);
      return gateway;
    }
    if (address === undefined) {
      const choice = choiceRange(subnet, range === undefined ? undefined : parseCidr(range));
      return leases.takeAny(subnet, choice, deadline);
    }
    if (this.#isOpening(poolId)) await claims.hold(poolId, address, 'aux', deadline);
    else await leases.takeThis(subnet, address, deadline);
    return address;
  }

  #choose(request: PoolRequest): { readonly subnet: Cidr; readonly range: Cidr | undefined } {
    if (request.subnet !== undefined && request.options.pool === undefined) {
      return { subnet: request.subnet, range: request.range };
    }
    const { configuredPools, defaultPool } = this.#options;
    const pool = chooseConfiguredPool(configuredPools, {
      family: request.family,
      ...(request.options.pool === undefined ? {} : { name: request.options.pool }),
      ...(defaultPool === undefined ? {} : { defaultName: defaultPool }),
      ...(request.subnet === undefined ? {} : { subnet: request.subnet }),
    });
    if (request.subnet === undefined) this.#refuseLoop(formatCidr(pool.subnet));
    return { subnet: pool.subnet, range: request.range ?? pool.range };
  }

  /** The engine asks again, at once and for ever, while a pool that it did not name overlaps a route of the host. */
  #refuseLoop(subnet: string): void {
    const now = this.#deps.clock.now();
    const again = [...this.#unfollowed].some(
      ([poolId, at]) => now - at < LOOP_MS && formatCidr(parsePoolId(poolId).subnet) === subnet,
    );
    if (!again) return;
    throw new Conflict(
      `pool ${subnet} overlaps a route or name server of this host, so the engine will not choose it by itself: ` +
        `create the network with --subnet ${subnet}`,
    );
  }

  #followed(poolId: string): void {
    this.#unfollowed.delete(poolId);
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
