/**
 * Bridges as what networks of mode `bridge` stand on: made when the first network needs one, with the parent as their
 * uplink; removed with the last if they are ours by their mark. A bridge without the mark is its operator's: it must
 * have the parent as a port already, and is never changed or removed.
 *
 * Must not: cut the host off. A parent with addresses becomes a port only with adopt_address, or not at all.
 */

import { failpoint } from '../core/failpoint.ts';
import { BRIDGE_MARK, endpointIdOfAlias, hostEndNameOf } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import type { BridgePort, BridgeState } from '../net/bridge-port.ts';
import type { LinkInfo, NetPort } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { AddressAdoption } from './address-adoption.ts';
import { bridgeOf } from './bridge-mode.ts';
import type { UplinkPart } from './uplinks.ts';

export interface BridgeUplinkDependencies {
  readonly net: Pick<NetPort, 'linkList'>;
  readonly bridges: BridgePort;
  readonly adoption: AddressAdoption;
  readonly networks: {
    list(): readonly NetworkRecord[];
    get(id: string): NetworkRecord | undefined;
  };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  readonly logger: Logger;
}

export class BridgeUplink implements UplinkPart {
  readonly #deps: BridgeUplinkDependencies;
  /** Told once. */
  readonly #told = new Set<string>();
  readonly #filtered = new Set<string>();

  constructor(deps: BridgeUplinkDependencies) {
    this.#deps = deps;
  }

  /** Bridges of networks, as last seen, whose frames go through the host's firewall. */
  get filtered(): ReadonlySet<string> {
    return this.#filtered;
  }

  async prepare(network: NetworkRecord): Promise<void> {
    if (network.mode !== 'bridge') return;
    const { bridges, logger } = this.#deps;
    const [bridge, uplink] = [bridgeOf(network), network.parent];
    const state = await bridges.bridgeAdd({ name: bridge, uplink, alias: BRIDGE_MARK });
    this.#noteFiltered(bridge, state.filtered);
    if (state.bridge.alias !== BRIDGE_MARK) return;
    if (state.made) logger.info('a bridge was made', { bridge, linkIndex: state.bridge.linkIndex });
    failpoint('bridge.after-add');
    try {
      await this.#join(network, state);
    } catch (error) {
      if (state.made)
        await bridges.bridgeDelete({ name: bridge, uplink, alias: BRIDGE_MARK }).catch((err: unknown) => {
          logger.error('a bridge is kept after a failure; reconciliation takes it away when it can', {
            bridge,
            err,
          });
        });
      throw error;
    }
    if (state.made) await this.#takeBack(bridge);
  }

  async settle(users: readonly NetworkRecord[]): Promise<void> {
    const needed = new Set(users.filter(({ mode }) => mode === 'bridge').map(bridgeOf));
    const links = await this.#deps.net.linkList();
    const ours = links.filter(({ kind, alias }) => kind === 'bridge' && alias === BRIDGE_MARK);
    for (const name of this.#filtered) if (!needed.has(name)) this.#filtered.delete(name);
    const kept = new Set(needed);
    const failures: unknown[] = [];
    for (const link of ours.filter(({ name }) => !needed.has(name))) {
      try {
        if (await this.#remove(link, links)) continue;
      } catch (error) {
        failures.push(error);
      }
      kept.add(link.name);
    }
    await this.#deps.adoption.forgetAllBut(kept);
    if (failures.length > 0) throw failures[0];
  }

  async #join(network: NetworkRecord, { joined }: BridgeState): Promise<void> {
    const { bridges, adoption, networks } = this.#deps;
    const [bridge, uplink] = [bridgeOf(network), network.parent];
    // The networks of one bridge come in any order after a boot, and one that moves addresses moves them for all.
    const onIt = [network, ...networks.list()].filter(
      (one) => one.mode === 'bridge' && bridgeOf(one) === bridge,
    );
    if (onIt.some(({ adoptAddress }) => adoptAddress === true)) await adoption.adopt(bridge, uplink, joined);
    else await bridges.uplinkJoin(bridge, uplink);
  }

  /** Containers that live on a bridge that somebody deleted are its ports again. */
  async #takeBack(bridge: string): Promise<void> {
    const { net, bridges, networks, endpoints } = this.#deps;
    const here = endpoints.list().filter(({ networkId }) => {
      const network = networks.get(networkId);
      return network?.mode === 'bridge' && bridgeOf(network) === bridge;
    });
    if (here.length === 0) return;
    const hostEnds = new Map(here.map(({ endpointId }) => [hostEndNameOf(endpointId), endpointId]));
    for (const { name, alias = '', masterIndex } of await net.linkList()) {
      const endpointId = hostEnds.get(name);
      if (endpointId === undefined || masterIndex !== undefined) continue;
      if (endpointIdOfAlias(alias) === endpointId) await bridges.uplinkJoin(bridge, name);
    }
  }

  /** @returns false if it stays, because others use it */
  async #remove(bridge: LinkInfo, links: readonly LinkInfo[]): Promise<boolean> {
    const { bridges, adoption, logger } = this.#deps;
    const { name, linkIndex } = bridge;
    const ports = links.filter(({ masterIndex }) => masterIndex === linkIndex);
    const strangers = ports.filter(({ alias }) => endpointIdOfAlias(alias ?? '') === undefined);
    const adopted = adoption.uplinkOf(name);
    const uplink = adopted ?? strangers[0]?.name;
    const others = ports.filter((port) => port.name !== uplink).map((port) => port.name);
    if (others.length > 0) return this.#keep(name, others);
    // Before it is deleted, for then the kernel deletes its addresses too.
    if (adopted !== undefined) await adoption.restore(name, adopted);
    const deleted = await bridges.bridgeDelete({ name, uplink: uplink ?? '', alias: BRIDGE_MARK });
    if (typeof deleted === 'object') return this.#keep(name, deleted);
    failpoint('bridge.after-delete');
    this.#told.delete(name);
    logger.info('a bridge was removed with its last network', { bridge: name, linkIndex });
    return true;
  }

  #keep(bridge: string, others: readonly string[]): false {
    if (!this.#told.has(bridge)) {
      this.#told.add(bridge);
      this.#deps.logger.warn('a bridge that no network needs is kept, for it has other ports', {
        bridge,
        others,
      });
    }
    return false;
  }

  #noteFiltered(bridge: string, isFiltered: boolean): void {
    if (!isFiltered) this.#filtered.delete(bridge);
    if (!isFiltered || this.#filtered.has(bridge)) return;
    this.#filtered.add(bridge);
    this.#deps.logger.warn(
      "the host's firewall sees what a bridge forwards (net.bridge.bridge-nf-call-iptables=1), and the engine's rules may drop it: see docs/bridge-mode.md",
      { bridge },
    );
  }
}
