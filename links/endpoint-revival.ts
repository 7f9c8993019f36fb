/**
 * Links of containers that were destroyed with their parent (a driver reload, a sub-interface that somebody deleted): when
 * the parent is back, they are made again in their sandboxes. What cannot be made again is kept for `lanius doctor`.
 *
 * Must not: make a link for an endpoint whose link is anywhere, or whose record is gone; ask the engine, which knows
 * nothing of it: to it the container runs on.
 */
import { type DriverError, toDriverError } from '../core/errors.ts';
import { endpointIdOfAlias, linkAliasOf } from '../core/ids.ts';
import { cidrHas, parseCidr, parseInterface } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { KernelEvent } from '../net/event-types.ts';
import type { LostLinkPort, LostLinkSpec } from '../net/lost-link-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export interface EndpointRevivalDependencies {
  readonly lostLinks: LostLinkPort;
  readonly endpoints: { list(): readonly EndpointRecord[]; get(id: string): EndpointRecord | undefined };
  readonly networks: { get(id: string): NetworkRecord | undefined };
  readonly logger: Logger;
}

type Joined = EndpointRecord & { readonly sandboxKey: string };

export class EndpointRevival {
  readonly #deps: EndpointRevivalDependencies;
  /** What each endpoint's link was called in its sandbox, as far as events told. */
  readonly #names = new Map<string, string>();
  readonly #problems = new Map<string, DriverError>();

  constructor(deps: EndpointRevivalDependencies) {
    this.#deps = deps;
  }

  /** Endpoints whose link is lost and could not be made again, by endpoint id. */
  get problems(): ReadonlyMap<string, DriverError> {
    return this.#problems;
  }

  /** For `LinkEvents.onEvents`. Returns at once. */
  heard(events: readonly KernelEvent[]): void {
    for (const event of events) {
      if (event.kind !== 'link' || event.nsid === undefined) continue;
      const endpointId = endpointIdOfAlias(event.link.alias ?? '');
      if (endpointId === undefined || event.link.name.startsWith('ln')) continue;
      if (this.#deps.endpoints.get(endpointId) !== undefined) this.#names.set(endpointId, event.link.name);
    }
    for (const endpointId of this.#names.keys()) {
      if (this.#deps.endpoints.get(endpointId) === undefined) this.#names.delete(endpointId);
    }
  }

  /**
   * Makes the lost links again of endpoints whose network stands on one of these links, and of those for which that
   * failed before. Never throws.
   */
  async revive(parents: ReadonlySet<string>): Promise<void> {
    const { endpoints, networks } = this.#deps;
    for (const id of this.#problems.keys()) if (endpoints.get(id) === undefined) this.#problems.delete(id);
    // As they came: where no event has told the names, they are counted in this order, as the engine does.
    const inOrder = endpoints.list().toSorted((a, b) => a.createdAt - b.createdAt);
    for (const endpoint of inOrder) {
      const network = networks.get(endpoint.networkId);
      if (network === undefined || endpoint.sandboxKey === undefined || network.mode !== 'macvlan') continue;
      const stood = [network.parent, network.vlan?.lower];
      const concerned = stood.some((name) => name !== undefined && parents.has(name));
      if (!concerned && !this.#problems.has(endpoint.endpointId)) continue;
      await this.#revive({ ...endpoint, sandboxKey: endpoint.sandboxKey }, network);
    }
  }

  async #revive(endpoint: Joined, network: NetworkRecord): Promise<void> {
    const { lostLinks, endpoints, logger } = this.#deps;
    const { endpointId, sandboxKey } = endpoint;
    const fields = { endpointId, sandboxKey, parent: network.parent };
    try {
      const fate = await lostLinks.lostLinkRevive(this.#specOf(endpoint, network));
      this.#problems.delete(endpointId);
      if (fate !== 'made') return;
      logger.warn('the link of a container was destroyed with its parent, and is made again', fields);
      if (endpoints.get(endpointId) === undefined) {
        logger.warn('an endpoint ended while its link was made again', fields);
      }
    } catch (err) {
      const before = this.#problems.get(endpointId);
      const error = toDriverError(err);
      this.#problems.set(endpointId, error);
      if (before?.message === error.message) return;
      logger.error('the link of a container is lost with its parent, and cannot be made again', {
        ...fields,
        err,
      });
    }
  }

  #specOf(endpoint: Joined, network: NetworkRecord): LostLinkSpec {
    const { endpointId, sandboxKey, macAddress, linkName, address, addressIpv6 } = endpoint;
    const name = this.#names.get(endpointId);
    const addresses = [address, addressIpv6].filter((text) => text !== undefined);
    return {
      namespacePath: sandboxKey,
      parent: network.parent,
      mode: network.macvlanMode,
      macAddress,
      alias: linkAliasOf(endpointId),
      ...(network.mtuBytes === undefined ? {} : { mtuBytes: network.mtuBytes }),
      linkName,
      ...(name === undefined ? {} : { name }),
      addresses,
      gateways: gatewaysOf(network, addresses),
    };
  }
}

/** Of the subnets that the addresses are in. */
function gatewaysOf({ internal, subnets }: NetworkRecord, addresses: readonly string[]): string[] {
  if (internal) return [];
  const own = addresses.map((text) => parseInterface(text).address);
  return subnets
    .filter(({ subnet }) => own.some((address) => cidrHas(parseCidr(subnet), address)))
    .map(({ gateway }) => gateway)
    .filter((gateway) => gateway !== undefined);
}
