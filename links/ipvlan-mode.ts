/**
 * `mode=ipvlan` (l2): an ipvlan link on the parent, with the parent's MAC. For segments that take one MAC a port
 * (some clouds, port security, wireless). ipvlan and macvlan exclude each other on one parent.
 */
import { Conflict } from '../core/errors.ts';
import { linkAliasOf, shortId } from '../core/ids.ts';
import type { IpvlanPort } from '../net/ipvlan-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { AttachMode } from './attach-mode.ts';
import type { UplinkPart } from './uplinks.ts';

export class IpvlanMode implements AttachMode {
  readonly ownMac = false;
  readonly #ipvlans: Pick<IpvlanPort, 'ipvlanAdd'>;

  constructor({ ipvlans }: { readonly ipvlans: Pick<IpvlanPort, 'ipvlanAdd'> }) {
    this.#ipvlans = ipvlans;
  }

  async attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void> {
    await this.#ipvlans.ipvlanAdd({
      name: endpoint.linkName,
      parent: network.parent,
      alias: linkAliasOf(endpoint.endpointId),
      ...(network.mtuBytes === undefined ? {} : { mtuBytes: network.mtuBytes }),
    });
  }
}

export interface IpvlanParentsDependencies {
  readonly ipvlans: Pick<IpvlanPort, 'ipvlanTry'>;
  readonly networks: { list(): readonly NetworkRecord[] };
}

/**
 * Says when a network is made, not when its first container starts, that the kernel has no ipvlan or the parent is in
 * use otherwise. Makes nothing, so that there is nothing to settle.
 */
export class IpvlanParents implements UplinkPart {
  readonly #deps: IpvlanParentsDependencies;

  constructor(deps: IpvlanParentsDependencies) {
    this.#deps = deps;
  }

  /** @throws Conflict, Unsupported, NotFound, KernelError */
  async prepare(network: NetworkRecord): Promise<void> {
    const { ipvlans, networks } = this.#deps;
    const neighbours = networks
      .list()
      .filter(({ networkId, parent }) => networkId !== network.networkId && parent === network.parent);
    const other = neighbours.find(({ mode }) => (mode === 'ipvlan') !== (network.mode === 'ipvlan'));
    if (other !== undefined) {
      throw new Conflict(
        `option mode: network ${shortId(other.networkId)} uses ${network.parent} with mode=${other.mode}, and ipvlan excludes every other mode on one parent: choose another -o parent=, or mode=${other.mode}`,
      );
    }
    // On a parent that carries ipvlan networks already it has been tried, and for a network on record, too.
    const known = networks.list().some(({ networkId }) => networkId === network.networkId);
    if (network.mode === 'ipvlan' && neighbours.length === 0 && !known)
      await ipvlans.ipvlanTry(network.parent);
  }

  async settle(): Promise<void> {}
}
