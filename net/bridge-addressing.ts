/**
 * Reads the addresses of a link and the routes through it: those that are the host's own, and would have to move with
 * them. For net/bridge-move.ts and net/bridge.ts; changes nothing.
 *
 * @see net/ipv4/devinet.c inet_fill_ifaddr, net/ipv4/fib_semantics.c fib_dump_info, net/ipv6/route.c rt6_fill_node
 */
import type { Addressing } from './bridge-port.ts';
import type { LinkInfo } from './port.ts';
import { type AddressEntry, addressDump, readAddress } from './rtnetlink/address.ts';
import { type RouteEntry, readRoute, routeDump } from './rtnetlink/route.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import * as uapi from './rtnetlink/uapi.ts';

/** @see BridgePort.addressingOf */
export function addressingOf(socket: RtnetlinkSocket, link: LinkInfo): Addressing {
  const { name, linkIndex } = link;
  const addresses = addressesOn(socket, link).filter(isMovable);
  const routes = ([4, 6] as const)
    .flatMap((family) => socket.dump(routeDump(family, 'list the routes')))
    .map(({ payload }) => readRoute(payload))
    .filter((entry) => entry !== undefined)
    .filter((entry) => isThrough(entry, linkIndex));
  const obstacle = obstacleIn({ addresses, routes }, name);
  const own = routes.filter((route) => !route.shared);
  return { addresses, routes: own, ...(obstacle === undefined ? {} : { obstacle }) };
}

function obstacleIn({ addresses, routes }: Addressing, name: string): string | undefined {
  const dynamic = addresses.find(isDynamic);
  if (dynamic !== undefined)
    return `address ${dynamic.address} of link ${name} was leased for a time (DHCP), and its client would go on working on ${name}`;
  const shared = routes.find((route) => route.shared);
  if (shared === undefined) return undefined;
  return `the route to ${shared.destination ?? 'everywhere'} goes through link ${name} and others (multipath or nexthop object)`;
}

/** Link-local addresses are of the link, and temporary ones are made anew. */
function isMovable({ family, scope, flags }: AddressEntry): boolean {
  if (scope !== uapi.RT_SCOPE_UNIVERSE) return false;
  return family === 4 || (flags & (uapi.IFA_F_TEMPORARY | uapi.IFA_F_DADFAILED)) === 0;
}

/** What the kernel itself made from router advertisements goes on by itself on the other link. */
function isDynamic({ validSeconds, attributes }: AddressEntry): boolean {
  if (validSeconds === undefined) return false;
  const protocol = attributes.find(({ type }) => type === uapi.IFA_PROTO)?.hex;
  return Number.parseInt(protocol ?? '0', 16) !== uapi.IFAPROT_KERNEL_RA;
}

/** Without what the kernel keeps for each link by itself. */
function isThrough(route: RouteEntry, linkIndex: number): boolean {
  const { table, type, flags, destination = '' } = route;
  if (table === uapi.RT_TABLE_LOCAL || type !== uapi.RTN_UNICAST || (flags & uapi.RTM_F_CLONED) !== 0)
    return false;
  if (/^(fe[89ab]|ff)[0-9a-f]/i.test(destination)) return false;
  return route.linkIndex === linkIndex || hopsOf(route).includes(linkIndex);
}

/** Links of a multipath route: struct rtnexthop is u16 length, u8, u8, i32 link, then attributes. */
function hopsOf({ attributes }: RouteEntry): number[] {
  const bytes = Buffer.from(attributes.find(({ type }) => type === uapi.RTA_MULTIPATH)?.hex ?? '', 'hex');
  const links: number[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    links.push(bytes.readInt32LE(at + 4));
    at += Math.max(8, (bytes.readUInt16LE(at) + 3) & ~3);
  }
  return links;
}

/** All of them, in the order in which the kernel has them. */
export function addressesOn(socket: RtnetlinkSocket, { linkIndex }: LinkInfo): AddressEntry[] {
  return socket
    .dump(addressDump('list the addresses'))
    .map(({ payload }) => readAddress(payload))
    .filter((entry) => entry !== undefined)
    .filter((entry) => entry.linkIndex === linkIndex);
}

/** An address of a link, told from the others of the link. */
export function keyOf({ address, prefixLength }: AddressEntry): string {
  return `${address}/${prefixLength}`;
}

/** An address of the host that somebody gave the link; those of router advertisements and DHCP come again by themselves. */
export function lastingAddressOf(socket: RtnetlinkSocket, link: LinkInfo): AddressEntry | undefined {
  return addressesOn(socket, link)
    .filter(isMovable)
    .find(({ flags }) => (flags & uapi.IFA_F_PERMANENT) !== 0);
}
