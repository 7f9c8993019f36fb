/**
 * Makes a container's link again that was destroyed with its parent: what the kernel worker does for `LostLinkPort`.
 * The engine does not know of it; so all that it had set is set here: name, MAC, MTU, addresses, default routes.
 *
 * It is made in the sandbox at once, and not moved there: a move holds the caller for tens of milliseconds, and a crash
 * before it would leave a link in the wrong place. What is set afterwards goes in one system call.
 *
 * @see drivers/net/macvlan.c macvlan_device_event (NETDEV_UNREGISTER); net/core/rtnetlink.c rtnl_newlink (IFLA_NET_NS_FD)
 */
import { closeSync, openSync } from 'node:fs';
import { KernelError, NotFound } from '../core/errors.ts';
import {
  cidrRange,
  formatIp,
  type IpAddress,
  type IpFamily,
  ipToHex,
  parseInterface,
  parseIp,
} from '../core/ip.ts';
import type { LostLinkFate, LostLinkSpec } from './lost-link-port.ts';
import { linkGet, linkList } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { type AddressEntry, addressAdd, addressEntry } from './rtnetlink/address.ts';
import { ENODEV, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import { withSocketHere, withSocketIn } from './rtnetlink/namespace.ts';
import { readRoute, routeAdd, routeDump, routeEntry } from './rtnetlink/route.ts';
import type { NetlinkRequest, RtnetlinkSocket } from './rtnetlink/socket.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { attribute } from './rtnetlink/wire.ts';

export interface LostLinkOperations {
  readonly lostLinkRevive: Operation<LostLinkSpec, LostLinkFate>;
}

export const lostLinkHandlers: Handlers<LostLinkOperations> = {
  lostLinkRevive: (spec) =>
    withSocketIn(spec.namespacePath, (inside) => withSocketHere((here) => revive(inside, here, spec))) ??
    'gone',
};

interface Sockets {
  readonly inside: RtnetlinkSocket;
  readonly here: RtnetlinkSocket;
}

function revive(inside: RtnetlinkSocket, here: RtnetlinkSocket, spec: LostLinkSpec): LostLinkFate {
  const isIt = ({ alias }: LinkInfo): boolean => alias === spec.alias;
  // The engine moves it from here into the sandbox and back: who looks at one after the other can miss it twice.
  if ([inside, here, inside].some((socket) => linkList(socket).some(isIt))) return 'stands';
  const parent = linkGet(here, spec.parent);
  if (parent === undefined) throw new NotFound(`parent link ${spec.parent} does not exist on this host`);
  const left = linkGet(inside, spec.linkName);
  if (left !== undefined && left.alias === undefined) remove(inside, left);

  const made = make({ inside, here }, spec, parent);
  const [refused] = inside.batch(settings(inside, spec, made)).filter((error) => error !== undefined);
  if (refused === undefined) return 'made';
  remove(inside, made);
  throw refused;
}

function make({ inside, here }: Sockets, spec: LostLinkSpec, parent: LinkInfo): LinkInfo {
  const { linkName, macAddress, mode, mtuBytes } = spec;
  const operation = `create macvlan link "${linkName}" on "${spec.parent}" in a sandbox`;
  const namespaceFd = openSync(spec.namespacePath, 'r');
  try {
    here.request(
      link.linkCreate(
        {
          name: linkName,
          parentIndex: parent.linkIndex,
          macAddress,
          kind: 'macvlan',
          kindData: link.macvlanData(mode),
          namespaceFd,
          ...(mtuBytes === undefined ? {} : { mtuBytes }),
        },
        operation,
      ),
    );
  } finally {
    closeSync(namespaceFd);
  }
  const made = linkGet(inside, linkName);
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  if (spec.addresses.every((address) => parseInterface(address).address.family === 4)) ipv4Only(inside, made);
  return made;
}

/** The engine does so by a sysctl. Refused where there is no IPv6; then nothing is lacking. */
function ipv4Only(inside: RtnetlinkSocket, { name }: LinkInfo): void {
  const none = attribute(uapi.IFLA_INET6_ADDR_GEN_MODE, Buffer.from([uapi.IN6_ADDR_GEN_MODE_NONE]));
  inside.batch([link.linkAfSpec(name, uapi.AF_INET6, [none], `set addr_gen_mode of "${name}"`)]);
}

/** Mark and name, addresses while it is down, so that the first packet finds them, then up, then the routes. */
function settings(inside: RtnetlinkSocket, spec: LostLinkSpec, made: LinkInfo): NetlinkRequest[] {
  const { linkIndex } = made;
  const name = freeName(inside, spec.name);
  const what = `of the link "${name}" that is made again in a sandbox`;
  const addresses = spec.addresses.map((text) =>
    addressAdd(addressOf(text, linkIndex), `set the address ${text} ${what}`),
  );
  const routed = routedFamilies(inside);
  const routes = spec.gateways
    .map(parseIp)
    .filter(({ family }) => !routed.has(family))
    .map((gateway) => routeAdd(defaultRoute(gateway, linkIndex), `set the default route ${what}`));
  return [
    link.linkAliasSet(made.name, spec.alias, 'macvlan', link.macvlanData(spec.mode), `mark "${made.name}"`),
    link.linkRename(linkIndex, name, `name the link "${name}"`),
    ...addresses,
    link.linkUp(name, `set "${name}" up`),
    ...routes,
  ];
}

/** With broadcast address (IPv4), and without a search for duplicates (IPv6), as the engine sets it. */
function addressOf(text: string, linkIndex: number): AddressEntry {
  const { address, subnet } = parseInterface(text);
  const { family, prefixLength } = subnet;
  const flags = family === 6 ? uapi.IFA_F_NODAD : 0;
  const entry = addressEntry({ linkIndex, address: formatIp(address), prefixLength, flags });
  if (family === 6 || prefixLength > 30) return entry;
  const hex = ipToHex({ family, value: cidrRange(subnet).last });
  return { ...entry, attributes: [...entry.attributes, { type: uapi.IFA_BROADCAST, hex }] };
}

function freeName(inside: RtnetlinkSocket, wanted: string | undefined): string {
  const taken = new Set(linkList(inside).map(({ name }) => name));
  if (wanted !== undefined && !taken.has(wanted)) return wanted;
  for (let number = 0; ; number += 1) if (!taken.has(`eth${number}`)) return `eth${number}`;
}

/** Families that have a default route. */
function routedFamilies(inside: RtnetlinkSocket): ReadonlySet<IpFamily> {
  const has = (family: IpFamily): boolean =>
    inside
      .dump(routeDump(family, 'list the routes of a sandbox'))
      .map(({ payload }) => readRoute(payload))
      .some((route) => isDefault(route));
  return new Set(([4, 6] as const).filter(has));
}

function isDefault(route: ReturnType<typeof readRoute>): boolean {
  return (
    route !== undefined &&
    route.prefixLength === 0 &&
    route.table === uapi.RT_TABLE_MAIN &&
    route.type === uapi.RTN_UNICAST
  );
}

function defaultRoute(gateway: IpAddress, linkIndex: number): ReturnType<typeof routeEntry> {
  const destination = gateway.family === 4 ? '0.0.0.0' : '::';
  const protocol = uapi.RTPROT_BOOT;
  return routeEntry({ destination, prefixLength: 0, linkIndex, gateway: formatIp(gateway), protocol });
}

function remove(socket: RtnetlinkSocket, { name, linkIndex }: LinkInfo): void {
  try {
    socket.request(link.linkDelete(linkIndex, `delete link "${name}"`));
  } catch (error) {
    if (!(error instanceof KernelError && error.errno === ENODEV)) throw error;
  }
}
