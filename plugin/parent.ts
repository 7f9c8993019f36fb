/**
 * The parent of a network: which link it is, or of which link a VLAN sub-interface must be made for it, and whether
 * containers' links can stand on it.
 *
 * Must not: make or change a link; links/vlan-uplink.ts makes sub-interfaces.
 * Source: linux drivers/net/macvlan.c; net/8021q/vlan.c (a VLAN id has one sub-interface per link); ip-link(8) (vlan).
 */
import { type Deadline, within } from '../core/deadline.ts';
import { Conflict, InvalidRequest, NotFound } from '../core/errors.ts';
import { LINK_ALIAS_PREFIX, VLAN_MARK, vlanLinkNameOf } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import type { LinkInfo, NetPort } from '../net/port.ts';
import { isVlanOf } from '../net/vlan-port.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import { LAST_VLAN, type NetworkOptions } from './options.ts';

/** Where a network is. */
export interface Place {
  /** Name of the link that containers' links stand on. */
  readonly parent: string;
  /** `parent` is this sub-interface, ours to make; absent for links that are their operator's. */
  readonly vlan?: { readonly lower: string; readonly vlanId: number };
  /** The NIC at the bottom, where that is neither of them. */
  readonly nic?: string;
}

/** More VLANs in each other make no sense. */
const MOST_VLANS = 4;

/**
 * Where the options say that a network is: on `parent`; with `vlan`, or if there is no link `parent` and its name is
 * LINK.ID of a link that there is, on that VLAN of the link. A sub-interface of that VLAN that there is already is
 * taken, whatever its name is; if it does not bear our mark it is the operator's.
 * @throws InvalidRequest if no parent is given, or one that cannot carry links, or a VLAN out of range; NotFound with
 *   the links there are; Conflict if another link has the name
 */
export async function placeOf(
  net: NetPort,
  options: NetworkOptions,
  defaultParent: string | undefined,
  deadline: Deadline,
): Promise<Place> {
  const place = await foundPlace(net, options, defaultParent, deadline);
  const lowest = place.vlan?.lower ?? place.parent;
  const nic = await nicUnder(net, lowest, deadline);
  return nic === lowest ? place : { ...place, nic };
}

async function foundPlace(
  net: NetPort,
  options: NetworkOptions,
  defaultParent: string | undefined,
  deadline: Deadline,
): Promise<Place> {
  const parent = options.parent ?? defaultParent;
  if (parent === undefined) {
    throw new InvalidRequest(
      'the network has no parent link: add -o parent=LINK, for example -o parent=eth0',
    );
  }
  const link = await linkOf(net, parent, deadline);
  if (options.vlan !== undefined) {
    if (link === undefined) throw await missing(net, parent, deadline);
    return vlanPlace(net, link, options.vlan, deadline);
  }
  if (link !== undefined) return standingPlace(net, link, deadline);
  const named = vlanOfName(parent);
  const lower = named === undefined ? undefined : await linkOf(net, named.lower, deadline);
  if (named === undefined || lower === undefined) throw await missing(net, parent, deadline);
  if (named.vlanId < 1 || named.vlanId > LAST_VLAN) {
    throw new InvalidRequest(
      `there is no link ${parent}, and ${named.vlanId} is no VLAN of ${lower.name}: VLANs are 1 to ${LAST_VLAN}`,
    );
  }
  return vlanPlace(net, lower, named.vlanId, deadline);
}

/** @returns the link below all VLANs that the link is; itself if it is none, or what is below is not in this namespace */
async function nicUnder(net: NetPort, name: string, deadline: Deadline): Promise<string> {
  const found = await linkOf(net, name, deadline);
  if (found?.kind !== 'vlan') return name;
  const links = await listOf(net, deadline);
  let link: LinkInfo = found;
  for (let count = 0; link.kind === 'vlan' && count < MOST_VLANS; count++) {
    const { parentIndex }: LinkInfo = link;
    const lower = links.find(({ linkIndex }) => linkIndex === parentIndex);
    if (lower === undefined) break;
    link = lower;
  }
  return link.name;
}

/** The VLAN of a parent: as the kernel says if the link is there, as its name says if not. */
export async function vlanOf(net: NetPort, parent: string, deadline: Deadline): Promise<number | undefined> {
  const link = await linkOf(net, parent, deadline);
  if (link !== undefined) return link.kind === 'vlan' ? link.vlanId : undefined;
  const named = vlanOfName(parent);
  if (named === undefined || (await linkOf(net, named.lower, deadline)) === undefined) return undefined;
  return named.vlanId;
}

/**
 * Can links of containers stand there? Looks at the lower link for a sub-interface that is not made yet.
 * @throws NotFound; InvalidRequest if it cannot carry links, or the MTU does not fit
 */
export async function checkParent(
  net: NetPort,
  network: NetworkRecord,
  ipv6: boolean,
  deadline: Deadline,
  logger: Logger,
): Promise<void> {
  const { parent, vlan } = network;
  const link = await linkOf(net, parent, deadline);
  const carrier = link ?? (vlan === undefined ? undefined : await linkOf(net, vlan.lower, deadline));
  if (carrier === undefined) throw await missing(net, parent, deadline);
  checkLoopback(carrier);
  if (link !== undefined) await checkKind(net, link, deadline);
  checkMtu(network, carrier, ipv6);
  if (!carrier.up || !carrier.carrier) {
    const reason = carrier.up ? 'has no carrier' : 'is down';
    const fields = { parent: carrier.name, linkIndex: carrier.linkIndex, reason };
    logger.warn('the parent cannot carry traffic yet', fields);
  }
}

async function standingPlace(net: NetPort, link: LinkInfo, deadline: Deadline): Promise<Place> {
  const { name, kind, alias, vlanId, parentIndex } = link;
  if (kind !== 'vlan' || alias !== VLAN_MARK || vlanId === undefined) return { parent: name };
  const links = await listOf(net, deadline);
  const lower = links.find(({ linkIndex }) => linkIndex === parentIndex)?.name;
  return lower === undefined ? { parent: name } : { parent: name, vlan: { lower, vlanId } };
}

async function vlanPlace(net: NetPort, lower: LinkInfo, vlanId: number, deadline: Deadline): Promise<Place> {
  checkLoopback(lower);
  if (lower.kind === 'vlan' && lower.vlanId === vlanId) {
    throw new InvalidRequest(`parent ${lower.name} is VLAN ${vlanId} already: leave out -o vlan=${vlanId}`);
  }
  const links = await listOf(net, deadline);
  const standing = links.find((link) => isVlanOf(link, lower, vlanId));
  const vlan = { lower: lower.name, vlanId };
  if (standing !== undefined) {
    return standing.alias === VLAN_MARK ? { parent: standing.name, vlan } : { parent: standing.name };
  }
  const name = vlanLinkNameOf(lower.name, vlanId);
  const other = links.find((link) => link.name === name);
  if (other !== undefined) throw nameTaken(other, links, lower.name, vlanId);
  return { parent: name, vlan };
}

/** `eth0.100` is VLAN 100 of eth0. Ids are not checked, but written as one writes them. */
function vlanOfName(name: string): { readonly lower: string; readonly vlanId: number } | undefined {
  const [, lower = '', id = ''] = /^(.+)\.(0|[1-9]\d{0,5})$/.exec(name) ?? [];
  return lower === '' ? undefined : { lower, vlanId: Number(id) };
}

function nameTaken(
  { name, kind, vlanId: is, parentIndex }: LinkInfo,
  links: readonly LinkInfo[],
  lower: string,
  vlanId: number,
): Conflict {
  const under = links.find(({ linkIndex }) => linkIndex === parentIndex)?.name ?? 'another link';
  const what = kind === 'vlan' ? `VLAN ${is} of ${under}` : kind === undefined ? 'a device' : `a ${kind}`;
  return new Conflict(
    `link ${name} exists, but is not VLAN ${vlanId} of ${lower} (it is ${what}): rename it, or give the right sub-interface as -o parent=`,
  );
}

/** Said by Join too (net/macvlan.ts), but here before anybody builds on the network. */
function checkLoopback({ linkIndex, name }: LinkInfo): void {
  if (linkIndex !== 1) return;
  throw new InvalidRequest(`parent link ${name} is the loopback: choose an Ethernet link as -o parent=LINK`);
}

async function checkKind(net: NetPort, link: LinkInfo, deadline: Deadline): Promise<void> {
  if (link.kind !== 'macvlan') return;
  const links = await listOf(net, deadline);
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

async function missing(net: NetPort, name: string, deadline: Deadline): Promise<NotFound> {
  const candidates = (await listOf(net, deadline)).filter(canBeParent).map((link) => link.name);
  const some = candidates.slice(0, 8).join(', ') + (candidates.length > 8 ? ', ...' : '');
  return new NotFound(
    `parent link ${name} does not exist on this host: give another as -o parent=LINK${some === '' ? '' : ` (there are ${some})`}`,
  );
}

/** The engine's own pairs are called veth…; a veth of another name may be the NIC of a host that is a container. */
function canBeParent(link: LinkInfo): boolean {
  const enginePair = link.kind === 'veth' && link.name.startsWith('veth');
  const carries = link.linkIndex !== 1 && !enginePair && link.kind !== 'macvlan';
  return carries && (link.alias === VLAN_MARK || link.alias?.startsWith(LINK_ALIAS_PREFIX) !== true);
}

function linkOf(net: NetPort, name: string, deadline: Deadline): Promise<LinkInfo | undefined> {
  return within(net.linkGet(name), deadline, `looking up the link ${name}`);
}

function listOf(net: NetPort, deadline: Deadline): Promise<LinkInfo[]> {
  return within(net.linkList(), deadline, 'listing the links');
}
