/**
 * VLAN sub-interfaces as what networks stand on: made when the first network needs one, removed with the last if it is
 * ours by its mark. One without the mark is its operator's: used, and never changed or removed.
 *
 * Must not: remove one on which links of others stand; that would delete them too.
 * Source: net/8021q/vlan.c vlan_device_event (NETDEV_UNREGISTER).
 */
import { LINK_ALIAS_PREFIX, VLAN_MARK } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import type { LinkInfo, NetPort } from '../net/port.ts';
import type { VlanPort } from '../net/vlan-port.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import type { UplinkPart } from './uplinks.ts';

export interface VlanUplinkDependencies {
  readonly net: Pick<NetPort, 'linkList'>;
  readonly vlans: VlanPort;
  readonly logger: Logger;
}

export class VlanUplink implements UplinkPart {
  readonly #deps: VlanUplinkDependencies;
  /** Told once. */
  readonly #keptForOthers = new Set<string>();

  constructor(deps: VlanUplinkDependencies) {
    this.#deps = deps;
  }

  async prepare({ parent, vlan }: NetworkRecord): Promise<void> {
    if (vlan === undefined) return;
    const { lower, vlanId } = vlan;
    const { link, made } = await this.#deps.vlans.vlanAdd({ name: parent, lower, vlanId, alias: VLAN_MARK });
    if (!made) return;
    const fields = { link: parent, linkIndex: link.linkIndex, parent: lower, vlanId };
    this.#deps.logger.info('a VLAN sub-interface was made', fields);
    if (!link.up) {
      this.#deps.logger.warn('a VLAN sub-interface is down as long as its parent is', fields);
    }
  }

  async settle(users: readonly NetworkRecord[]): Promise<void> {
    const needed = new Set(
      users.flatMap(({ parent, vlan }) => (vlan === undefined ? [parent] : [parent, vlan.lower])),
    );
    const links = await this.#deps.net.linkList();
    const unused = links.filter((link) => isOurs(link) && !needed.has(link.name));
    // The upper one of two that stand on each other first.
    for (const link of unused.toSorted((a, b) => b.linkIndex - a.linkIndex)) {
      if (this.#isFree(link, links)) await this.#remove(link);
    }
  }

  #isFree({ name, linkIndex }: LinkInfo, links: readonly LinkInfo[]): boolean {
    const others = links.filter(
      (link) => link.parentIndex === linkIndex && link.alias?.startsWith(LINK_ALIAS_PREFIX) !== true,
    );
    if (others.length === 0) return true;
    if (!this.#keptForOthers.has(name)) {
      this.#keptForOthers.add(name);
      this.#deps.logger.warn(
        'a VLAN sub-interface that no network needs is kept, for links of others use it',
        {
          link: name,
          others: others.map((link) => link.name),
        },
      );
    }
    return false;
  }

  async #remove({ name, linkIndex }: LinkInfo): Promise<void> {
    this.#keptForOthers.delete(name);
    if (!(await this.#deps.vlans.vlanDelete({ name, alias: VLAN_MARK }))) return;
    this.#deps.logger.info('a VLAN sub-interface was removed with its last network', {
      link: name,
      linkIndex,
    });
  }
}

function isOurs({ kind, alias }: LinkInfo): boolean {
  return kind === 'vlan' && alias === VLAN_MARK;
}
