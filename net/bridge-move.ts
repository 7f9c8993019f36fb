/**
 * The move of a host's addresses and routes from a NIC to a bridge and back: what the kernel worker does for
 * `BridgePort`, over a socket that is handed in. Must not decide when, nor keep anything for later.
 *
 * INVARIANTS
 * - Each address is on one of the two links at every moment, and on both between `addressingMove` and
 *   `addressesDelete`; a packet to it is answered through whichever link has the route (the kernel takes addresses to
 *   belong to the host, not to a link).
 * - A move is one system call. The kernel executes all of it before it looks at signals, so a kill finds it done or not
 *   begun; what the kernel refuses in the middle of it is taken back by a second one.
 * - A route is set through the new link before it is deleted through the old one.
 *
 * The kernel makes the route of a subnet by itself when an address is added, and does not mind if it is there already.
 * IPv6 addresses are added without the search for duplicates, during which they could not be used: they are ours.
 *
 * @see net/ipv4/devinet.c inet_rtm_newaddr, net/ipv4/fib_trie.c fib_table_insert, net/ipv6/addrconf.c inet6_rtm_newaddr
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { KernelError, NotFound } from '../core/errors.ts';
import { joining, portRefused } from './bridge.ts';
import { addressesOn, addressingOf, keyOf } from './bridge-addressing.ts';
import type { Addressing, AddressingMove } from './bridge-port.ts';
import { linkGet } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { type AddressEntry, addressAdd, addressDelete } from './rtnetlink/address.ts';
import { portSet } from './rtnetlink/bridge-link.ts';
import { EADDRNOTAVAIL, EEXIST } from './rtnetlink/errno.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import { type RouteEntry, routeAdd, routeDelete } from './rtnetlink/route.ts';
import type { NetlinkRequest, RtnetlinkSocket } from './rtnetlink/socket.ts';
import * as uapi from './rtnetlink/uapi.ts';

interface AddressesOf {
  readonly name: string;
  readonly addresses: readonly AddressEntry[];
}

export interface BridgeMoveOperations {
  readonly addressingOf: Operation<string, Addressing>;
  readonly addressingMove: Operation<AddressingMove, void>;
  readonly addressesDelete: Operation<AddressesOf, void>;
}

export const bridgeMoveHandlers: Handlers<BridgeMoveOperations> = {
  addressingOf: (name) => withSocketHere((socket) => addressingOf(socket, linkOf(socket, name))),
  addressingMove: (move) => withSocketHere((socket) => addressingMove(socket, move)),
  addressesDelete: (which) => withSocketHere((socket) => addressesDelete(socket, which)),
};

const { ESRCH } = constants.errno;
/** What says how a link treats the host's packets, and was set for the link that had the address until now. */
const LINK_SETTINGS = [
  'ipv4/conf/*/rp_filter',
  'ipv4/conf/*/arp_ignore',
  'ipv4/conf/*/arp_announce',
  'ipv4/conf/*/arp_filter',
  'ipv6/conf/*/disable_ipv6',
  'ipv6/conf/*/accept_ra',
] as const;
/** What the kernel says of an address, and no one can ask for. */
const STATE_FLAGS =
  uapi.IFA_F_SECONDARY |
  uapi.IFA_F_DADFAILED |
  uapi.IFA_F_DEPRECATED |
  uapi.IFA_F_TENTATIVE |
  uapi.IFA_F_PERMANENT;

/** A request with the refusals that mean that it is done already. */
interface Step {
  readonly request: NetlinkRequest;
  readonly doneIf: readonly number[];
}

/** @see BridgePort.addressingMove */
function addressingMove(socket: RtnetlinkSocket, move: AddressingMove): void {
  const [from, to] = [linkOf(socket, move.from), linkOf(socket, move.to)];
  const uplink = linkOf(socket, move.port.uplink);
  if (move.to === move.port.bridge) copySettings(move.from, move.to);
  const had = new Set(addressesOn(socket, to).map(keyOf));

  const { addresses } = move.addressing;
  const refused = failureIn(socket, [...portSteps(socket, move, uplink), ...stepsOf(move, from, to)]);
  if (refused === undefined) return;
  const asBefore = portSet(uplink.name, uplink.masterIndex ?? 0, `put link "${uplink.name}" back`);
  const added = addresses.filter((entry) => !had.has(keyOf(entry)));
  const back = [must(asBefore), ...stepsOf(move, to, from), ...deletions(added, to)];
  throw explained(refused, move, failureIn(socket, back));
}

function portSteps(socket: RtnetlinkSocket, { port }: AddressingMove, uplink: LinkInfo): Step[] {
  if (port.bridge === undefined)
    return [must(portSet(uplink.name, 0, `take link "${uplink.name}" off its bridge`))];
  const bridge = linkOf(socket, port.bridge);
  const stands = uplink.masterIndex === bridge.linkIndex && bridge.up;
  return stands ? [] : joining(bridge, uplink).map(must);
}

function must(request: NetlinkRequest): Step {
  return { request, doneIf: [] };
}

function stepsOf({ addressing }: AddressingMove, from: LinkInfo, to: LinkInfo): Step[] {
  return [
    ...addressing.addresses.flatMap((entry) => additions(entry, to)),
    ...inOrder(addressing.routes).flatMap((route): Step[] => {
      const text = route.destination === undefined ? 'default' : `${route.destination}/${route.prefixLength}`;
      const through = (link: LinkInfo): RouteEntry => ({ ...route, linkIndex: link.linkIndex });
      const setting = `set the route to ${text} through "${to.name}"`;
      const deleting = `delete the route to ${text} through "${from.name}"`;
      return [
        { request: routeAdd(through(to), setting, 'beside'), doneIf: [EEXIST] },
        { request: routeDelete(through(from), deleting), doneIf: [ESRCH] },
      ];
    }),
  ];
}

function additions(entry: AddressEntry, to: LinkInfo): Step[] {
  const flags = entry.flags & ~STATE_FLAGS;
  const own = entry.label === undefined || entry.label.split(':')[0] === to.name;
  const asked: AddressEntry = {
    ...entry,
    linkIndex: to.linkIndex,
    flags,
    attributes: entry.attributes.filter(({ type }) => own || type !== uapi.IFA_LABEL),
  };
  const operation = `add address ${entry.address}/${entry.prefixLength} to "${to.name}"`;
  if (entry.family === 4) return [{ request: addressAdd(asked, operation), doneIf: [EEXIST] }];
  const atOnce = { ...asked, flags: flags | uapi.IFA_F_NODAD };
  return [
    { request: addressAdd(atOnce, operation), doneIf: [EEXIST] },
    { request: addressAdd(asked, operation, 'replace'), doneIf: [] },
  ];
}

/** Gateways last: the kernel wants to see that there is a way to them. */
function inOrder(routes: readonly RouteEntry[]): readonly RouteEntry[] {
  const near = routes.filter(({ gateway }) => gateway === undefined);
  return [...near, ...routes.filter(({ gateway }) => gateway !== undefined)];
}

/** @see BridgePort.addressesDelete */
function addressesDelete(socket: RtnetlinkSocket, { name, addresses }: AddressesOf): void {
  const refused = refusalIn(socket, deletions(addresses, linkOf(socket, name)));
  if (refused !== undefined) throw refused;
}

/** The last first: with the primary address of a subnet the kernel deletes its others. */
function deletions(addresses: readonly AddressEntry[], { name, linkIndex }: LinkInfo): Step[] {
  return addresses.toReversed().map((entry) => ({
    request: addressDelete(
      { ...entry, linkIndex },
      `delete address ${entry.address}/${entry.prefixLength} from "${name}"`,
    ),
    doneIf: [EADDRNOTAVAIL],
  }));
}

function refusalIn(socket: RtnetlinkSocket, steps: readonly Step[]): KernelError | undefined {
  if (steps.length === 0) return undefined;
  const refusals = socket.batch(steps.map(({ request }) => request));
  return refusals.find((error, index) => {
    return error !== undefined && steps[index]?.doneIf.includes(error.errno) !== true;
  });
}

/** The same, also if an answer was lost: then some of it may have been done. */
function failureIn(socket: RtnetlinkSocket, steps: readonly Step[]): KernelError | undefined {
  try {
    return refusalIn(socket, steps);
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
}

function explained(refused: KernelError, move: AddressingMove, stuck: KernelError | undefined): unknown {
  const error = portRefused(refused, move.port.uplink);
  if (stuck === undefined) return error;
  const { errno, errnoName, message } = refused;
  return new KernelError(`${message}; and taking it back failed: ${stuck.message}`, {
    errno,
    errnoName,
    details: { ...refused.details, notRestored: stuck.message },
  });
}

/** As good as it can be: a setting that this kernel does not have is none. */
function copySettings(from: string, to: string): void {
  for (const setting of LINK_SETTINGS) {
    const path = (name: string): string => `/proc/sys/net/${setting.replace('*', name)}`;
    try {
      const value = readFileSync(path(from), 'utf8');
      if (readFileSync(path(to), 'utf8') !== value) writeFileSync(path(to), value);
    } catch {
      // The one that is not there cannot be copied, and a read-only /proc is found out by what follows.
    }
  }
}

function linkOf(socket: RtnetlinkSocket, name: string): LinkInfo {
  const found = linkGet(socket, name);
  if (found !== undefined) return found;
  throw new NotFound(`link ${name} does not exist on this host: it vanished meanwhile; try again`);
}
