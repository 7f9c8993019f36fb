/**
 * The parent of a network: which link it is, and whether containers' links can stand on it.
 *
 * Must not: make or change the parent; VLAN sub-interfaces are the operator's.
 * Source: linux drivers/net/macvlan.c; ip-link(8) (vlan).
 */
import { type Deadline, within } from '../core/deadline.ts';
import { InvalidRequest, NotFound, Unsupported } from '../core/errors.ts';
import { endpointIdOfAlias } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import type { LinkInfo, NetPort } from '../net/port.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import type { NetworkOptions } from './options.ts';

/**
 * Name of the lower link: the parent, or `PARENT.VLAN`.
 * @throws InvalidRequest if none is given, or the name is longer than a link's can be
 */
export function parentNameOf(options: NetworkOptions, defaultParent: string | undefined): string {
  const parent = options.parent ?? defaultParent;
  if (parent === undefined) {
    throw new InvalidRequest(
      'the network has no parent link: add -o parent=LINK, for example -o parent=eth0',
    );
  }
  if (options.vlan === undefined) return parent;
  const name = `${parent}.${options.vlan}`;
  if (name.length <= 15) return name;
  throw new InvalidRequest(
    `the VLAN sub-interface ${name} has more than 15 characters: make it with a shorter name and give that as -o parent=`,
  );
}

/**
 * @param vlan the id that `network.parent` must carry, if it is a sub-interface
 * @throws NotFound with the command that makes the sub-interface, or with the links there are; Unsupported if the
 *   link is not that VLAN; InvalidRequest if it cannot carry macvlan links, or the MTU does not fit
 */
export async function checkParent(
  net: NetPort,
  network: NetworkRecord,
  vlan: number | undefined,
  ipv6: boolean,
  deadline: Deadline,
  logger: Logger,
): Promise<void> {
  const name = network.parent;
  const link = await within(net.linkGet(name), deadline, `looking up the link ${name}`);
  if (link === undefined) throw await missing(net, name, vlan, deadline);
  if (vlan !== undefined && (link.kind !== 'vlan' || link.vlanId !== vlan)) {
    throw new Unsupported(
      `link ${name} exists, but is not the VLAN ${vlan}${link.vlanId === undefined ? '' : ` (it is VLAN ${link.vlanId})`}: rename it, or give the right sub-interface as -o parent=`,
    );
  }
  await checkKind(net, link, deadline);
  checkMtu(network, link, ipv6);
  if (!link.up || !link.carrier) {
    const reason = link.up ? 'has no carrier' : 'is down';
    logger.warn('the parent cannot carry traffic yet', { parent: name, linkIndex: link.linkIndex, reason });
  }
}

/** Said by Join too (net/macvlan.ts), but here before anybody builds on the network. */
async function checkKind(net: NetPort, link: LinkInfo, deadline: Deadline): Promise<void> {
  if (link.linkIndex === 1) {
    throw new InvalidRequest(
      `parent link ${link.name} is the loopback: choose an Ethernet link as -o parent=LINK`,
    );
  }
  if (link.kind !== 'macvlan') return;
  const links = await within(net.linkList(), deadline, 'listing the links');
  const lower = links.find(({ linkIndex }) => linkIndex === link.parentIndex)?.name ?? 'LINK';
  throw new InvalidRequest(
    `parent link ${link.name} is a macvlan itself, and the kernel would use its lower link: choose -o parent=${lower}`,
  );
}

function checkMtu({ mtuBytes }: NetworkRecord, parent: LinkInfo, ipv6: boolean): void {
  if (mtuBytes !== undefined && mtuBytes > parent.mtuBytes) {
    throw new InvalidRequest(
      `option mtu: ${mtuBytes} is more than the ${parent.mtuBytes} of the parent ${parent.name}: raise that first (ip link set ${parent.name} mtu ${mtuBytes}), or take less`,
    );
  }
  if (ipv6 && (mtuBytes ?? parent.mtuBytes) < 1280) {
    throw new InvalidRequest('option mtu: IPv6 needs at least 1280: take more, or no IPv6 subnet');
  }
}

async function missing(
  net: NetPort,
  name: string,
  vlan: number | undefined,
  deadline: Deadline,
): Promise<NotFound> {
  if (vlan !== undefined) {
    const lower = name.slice(0, -`.${vlan}`.length);
    return new NotFound(
      `VLAN sub-interface ${name} does not exist on this host: ip link add link ${lower} name ${name} type vlan id ${vlan} && ip link set ${name} up`,
    );
  }
  const links = await within(net.linkList(), deadline, 'listing the links');
  const candidates = links.filter(canBeParent).map((link) => link.name);
  const some = candidates.slice(0, 8).join(', ') + (candidates.length > 8 ? ', ...' : '');
  return new NotFound(
    `parent link ${name} does not exist on this host: give another as -o parent=LINK${some === '' ? '' : ` (there are ${some})`}`,
  );
}

/** The engine's own pairs are called veth…; a veth of another name may be the NIC of a host that is a container. */
function canBeParent(link: LinkInfo): boolean {
  const enginePair = link.kind === 'veth' && link.name.startsWith('veth');
  const carries = link.linkIndex !== 1 && !enginePair && link.kind !== 'macvlan';
  return carries && endpointIdOfAlias(link.alias ?? '') === undefined;
}
