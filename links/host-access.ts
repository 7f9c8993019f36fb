/**
 * `host_access=true`: this host and its own macvlan containers reach each other, which the kernel does not let them on
 * the parent itself. A shim on the parent stands for as long as a network with host access is on it; through it goes
 * one route for each address of a container of this host.
 *
 * INVARIANT: the endpoint records say which routes there are to be. A route is put before the container's link leaves
 * for its sandbox; one that no record has is removed behind the removal of the record, and by every `refresh`. A
 * removal is decided and handed to the kernel in one go, so that an address that is given anew cannot lose its route.
 *
 * docs/host-access.md has the reasons.
 */
import { InvalidRequest } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import { SHIM_MARK, shimNameOf, shortId } from '../core/ids.ts';
import { cidrHas, formatIp, parseCidr, parseInterface, parseIp, usableRange } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { NetPort } from '../net/port.ts';
import type { HostRoute, HostRoutesFound, HostSources, RouteToPut, ShimPort } from '../net/shim-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { UplinkPart } from './uplinks.ts';

/** What a shim cannot do is said before anything is made for the network. */
export class HostAccessRules implements UplinkPart {
  /** @throws InvalidRequest for networks whose containers a shim cannot reach */
  async prepare(network: NetworkRecord): Promise<void> {
    if (network.hostAccess === true) checkMode(network);
  }

  async settle(): Promise<void> {}
}

export interface HostAccessDependencies {
  readonly shims: ShimPort;
  readonly net: Pick<NetPort, 'linkList'>;
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  readonly logger: Logger;
}

/** What is known of a shim since it was last looked at. */
export interface ShimState {
  readonly parent: string;
  readonly sources: HostSources;
  readonly macAddress: string;
}

export class HostAccess implements UplinkPart {
  readonly #deps: HostAccessDependencies;
  /** By parent. */
  readonly #shims = new Map<string, ShimState>();
  /** Settings that the kernel did not take have been told of. */
  readonly #told = new Set<string>();
  /** One refresh at a time, and one waiting. */
  #refreshing: Promise<void> | undefined;
  #again: Promise<void> | undefined;

  constructor(deps: HostAccessDependencies) {
    this.#deps = deps;
  }

  /** @throws Conflict, NotFound, KernelError */
  async prepare(network: NetworkRecord): Promise<void> {
    if (network.hostAccess !== true) return;
    await this.#refreshShim(await this.#stand(network));
  }

  async settle(users: readonly NetworkRecord[]): Promise<void> {
    const parents = new Set(users.filter(hasHostAccess).map(({ parent }) => parent));
    const wanted = new Set([...parents].map(shimNameOf));
    for (const parent of this.#shims.keys()) if (!parents.has(parent)) this.#shims.delete(parent);
    const standing = (await this.#deps.net.linkList()).filter(({ alias }) => alias === SHIM_MARK);
    for (const { name } of standing)
      if (!wanted.has(name)) await this.#deps.shims.shimDelete({ name, alias: SHIM_MARK });
    await this.refresh();
  }

  /** Puts the host's routes to an endpoint that joins. Never throws: `refresh` tries again. */
  async attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void> {
    if (network.hostAccess !== true) return;
    const { parent } = network;
    const change = { shim: shimNameOf(parent), put: routesOf(endpoint, network), remove: [] };
    try {
      const sources = await this.#deps.shims.hostRoutesChange(change);
      if (sources === undefined) await this.#refreshShim(await this.#stand(network));
      else this.#note(parent, sources);
    } catch (err) {
      this.#deps.logger.error('the host does not reach a container yet; it is tried again', {
        endpointId: endpoint.endpointId,
        parent,
        err,
      });
    }
    failpoint('host-access.after-routes');
  }

  /** After an endpoint's record has gone: removes its routes. Returns at once. */
  detached(): void {
    if (!this.#deps.networks.list().some(hasHostAccess)) return;
    failpoint('host-access.before-removal');
    this.refresh().catch((err: unknown) => {
      this.#deps.logger.error('routes to containers that ended could not be removed; it is tried again', {
        err,
      });
    });
  }

  /**
   * The host's addresses outside of the endpoint's subnets: it has them on its link, for behind its gateway the way back
   * would be another one. Not those that another endpoint of the sandbox has: a route cannot be there twice.
   * @returns `10.0.0.5/32`
   */
  onLink(endpoint: EndpointRecord, network: NetworkRecord): string[] {
    const { endpoints, networks } = this.#deps;
    if (network.hostAccess !== true) return [];
    const others = endpoints.list().filter(({ endpointId, sandboxKey }) => {
      return endpointId !== endpoint.endpointId && sandboxKey === endpoint.sandboxKey;
    });
    const taken = others.flatMap((other) => {
      const of = networks.get(other.networkId);
      return of === undefined ? [] : this.#outside(other, of);
    });
    return this.#outside(endpoint, network).filter((address) => !taken.includes(address));
  }

  #outside(endpoint: EndpointRecord, network: NetworkRecord): string[] {
    return this.hostNeighbours(endpoint, network)
      .map(({ address }) => parseIp(address))
      .filter((address) => !network.subnets.some(({ subnet }) => cidrHas(parseCidr(subnet), address)))
      .map((address) => `${formatIp(address)}/${address.family === 4 ? 32 : 128}`);
  }

  /** The host's addresses as the endpoint sees them, with the MAC that it must send to: the shim's. */
  hostNeighbours(endpoint: EndpointRecord, network: NetworkRecord): HostRoute[] {
    const shim = network.hostAccess === true ? this.#shims.get(network.parent) : undefined;
    if (shim === undefined) return [];
    const { macAddress, sources } = shim;
    return routesOf(endpoint, network).flatMap(({ towards }) => {
      const address = sources[towards];
      return address === undefined ? [] : [{ address, macAddress }];
    });
  }

  /** By parent, for `lanius doctor`. */
  get shims(): readonly ShimState[] {
    return [...this.#shims.values()];
  }

  /** Makes shims and routes as the records say. Coalesced. @throws KernelError */
  refresh(): Promise<void> {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#refresh().finally(() => {
        this.#refreshing = undefined;
      });
      return this.#refreshing;
    }
    this.#again ??= this.#refreshing
      .catch(() => {})
      .then(() => {
        this.#again = undefined;
        return this.refresh();
      });
    return this.#again;
  }

  async #refresh(): Promise<void> {
    const failures: unknown[] = [];
    for (const [parent, networks] of this.#byParent()) {
      try {
        if (!this.#shims.has(parent) || !(await this.#refreshShim(parent)))
          for (const network of networks.slice(0, 1)) await this.#refreshShim(await this.#stand(network));
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** @returns its parent */
  async #stand({ parent }: NetworkRecord): Promise<string> {
    const name = shimNameOf(parent);
    const { link, unset } = await this.#deps.shims.shimAdd({ name, parent, alias: SHIM_MARK });
    this.#shims.set(parent, {
      parent,
      macAddress: link.macAddress ?? '',
      sources: this.#shims.get(parent)?.sources ?? {},
    });
    if (unset.length > 0 && !this.#told.has(parent)) {
      this.#told.add(parent);
      this.#deps.logger.warn('the shim takes IPv6 router advertisements, because a setting cannot be made', {
        shim: name,
        parent,
        settings: unset.join(' '),
      });
    }
    return parent;
  }

  /** @returns false if there is no such shim, or it is down */
  async #refreshShim(parent: string): Promise<boolean> {
    const { shims } = this.#deps;
    const shim = shimNameOf(parent);
    const towards = new Set((this.#byParent().get(parent) ?? []).flatMap(towardsOf));
    const found = await shims.hostRoutesFind(shim, [...towards]);
    if (found === undefined) return false;
    this.#shims.set(parent, { parent, macAddress: found.macAddress, sources: found.sources });
    // Nothing may come between this decision and its way to the kernel.
    const { put, remove } = difference(this.#wanted(parent), found);
    if (put.length + remove.length === 0) return true;
    return (await shims.hostRoutesChange({ shim, put, remove })) !== undefined;
  }

  #wanted(parent: string): RouteToPut[] {
    const networks = new Map(
      this.#byParent()
        .get(parent)
        ?.map((network) => [network.networkId, network]),
    );
    return this.#deps.endpoints.list().flatMap((endpoint) => {
      const network = networks.get(endpoint.networkId);
      return network === undefined ? [] : routesOf(endpoint, network);
    });
  }

  #byParent(): ReadonlyMap<string, NetworkRecord[]> {
    const byParent = new Map<string, NetworkRecord[]>();
    for (const network of this.#deps.networks.list().filter(hasHostAccess)) {
      const others = byParent.get(network.parent);
      if (others === undefined) byParent.set(network.parent, [network]);
      else others.push(network);
    }
    return byParent;
  }

  #note(parent: string, sources: HostSources): void {
    const shim = this.#shims.get(parent);
    if (shim !== undefined) this.#shims.set(parent, { ...shim, sources: { ...shim.sources, ...sources } });
  }
}

function hasHostAccess({ hostAccess }: NetworkRecord): boolean {
  return hostAccess === true;
}

function checkMode({ mode, macvlanMode, networkId }: NetworkRecord): void {
  const of = `network ${shortId(networkId)}`;
  if (mode === 'bridge') {
    throw new InvalidRequest(
      `option host_access: ${of} has mode=bridge, where host and containers reach each other by the bridge: leave it out, and give the host its address there (adopt_address=true)`,
    );
  }
  if (mode !== 'macvlan') {
    throw new InvalidRequest(
      `option host_access: mode=${mode} has none: leave it out, or choose mode=macvlan`,
    );
  }
  if (macvlanMode !== 'bridge') {
    throw new InvalidRequest(
      `option host_access: macvlan_mode=${macvlanMode} keeps the containers of one host apart: leave it out, or choose macvlan_mode=bridge`,
    );
  }
}

/** One for each address of the endpoint. */
function routesOf(endpoint: EndpointRecord, network: NetworkRecord): RouteToPut[] {
  return [endpoint.address, endpoint.addressIpv6].flatMap((text) => {
    if (text === undefined) return [];
    const { address } = parseInterface(text);
    const subnet = network.subnets.find((one) => cidrHas(parseCidr(one.subnet), address));
    if (subnet === undefined) return [];
    const { macAddress } = endpoint;
    return [{ address: formatIp(address), macAddress, towards: towardsOfSubnet(subnet) }];
  });
}

function towardsOf({ subnets }: NetworkRecord): string[] {
  return subnets.map(towardsOfSubnet);
}

/** By the way to it the kernel says which of the host's addresses is for the segment. */
function towardsOfSubnet({ subnet, gateway }: NetworkRecord['subnets'][number]): string {
  const { family, last } = usableRange(parseCidr(subnet));
  return gateway ?? formatIp({ family, value: last });
}

/** What is to be put and to be removed. Pure. */
export function difference(
  wanted: readonly RouteToPut[],
  { routes, sources }: Pick<HostRoutesFound, 'routes' | 'sources'>,
): { readonly put: RouteToPut[]; readonly remove: string[] } {
  const standing = new Map(routes.map(({ address, source }) => [address, source]));
  const names = new Set(wanted.map(({ address }) => address));
  return {
    put: wanted.filter(({ address, towards }) => {
      const source = sources[towards];
      return source !== undefined && standing.get(address) !== source;
    }),
    remove: routes.map(({ address }) => address).filter((address) => !names.has(address)),
  };
}
