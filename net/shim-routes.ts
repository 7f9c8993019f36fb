/**
 * The host's ways to its containers through a shim, and their way back: what the kernel worker does for `ShimPort`
 * about routes and neighbours. Must not touch a route of anybody else: ours are those with our protocol number that
 * go out through the shim.
 *
 * With each route stands a neighbour entry that does not age, so that the host never asks for a container by ARP.
 * @see rtnetlink(7); linux/rtnetlink.h RTA_PREFSRC; linux/neighbour.h
 */
import { constants } from 'node:os';
import { Conflict, type KernelError } from '../core/errors.ts';
import { type IpFamily, parseIp } from '../core/ip.ts';
import { linkGet } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { addressDump, addressHex, asAddress, familyNumber, readAddress } from './rtnetlink/address.ts';
import { EEXIST, ENODEV } from './rtnetlink/errno.ts';
import { withSocketHere, withSocketIn } from './rtnetlink/namespace.ts';
import {
  type RouteEntry,
  readRoute,
  routeAdd,
  routeDelete,
  routeDump,
  routeEntry,
} from './rtnetlink/route.ts';
import type { NetlinkRequest, RtnetlinkSocket } from './rtnetlink/socket.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { attribute, mac } from './rtnetlink/wire.ts';
import type {
  HostRoute,
  HostRoutesChange,
  HostRoutesFound,
  HostSources,
  StaticNeighbours,
} from './shim-types.ts';

export interface HostRouteOperations {
  readonly hostRoutesFind: Operation<
    { readonly shim: string; readonly towards: readonly string[] },
    HostRoutesFound | undefined
  >;
  readonly hostRoutesChange: Operation<HostRoutesChange, HostSources | undefined>;
  readonly staticNeighbours: Operation<StaticNeighbours, boolean>;
}

export const hostRouteHandlers: Handlers<HostRouteOperations> = {
  hostRoutesFind: ({ shim, towards }) => withSocketHere((socket) => hostRoutesFind(socket, shim, towards)),
  hostRoutesChange: (change) => withSocketHere((socket) => hostRoutesChange(socket, change)),
  staticNeighbours: (neighbours) =>
    withSocketIn(neighbours.namespacePath, (socket) => staticNeighbours(socket, neighbours)) ?? false,
};

/** RTPROT_* of routes that we made; linux/rtnetlink.h has nobody of that number. `ip route show proto 76` */
export const ROUTE_PROTOCOL = 0x4c;

const { ESRCH, ENOENT } = constants.errno;
/** What is to be deleted is gone already. */
const GONE: readonly number[] = [ESRCH, ENOENT, ENODEV];
const RTMSG_BYTES = 12;
const NDMSG_BYTES = 12;

/** @see ShimPort.hostRoutesFind */
function hostRoutesFind(
  socket: RtnetlinkSocket,
  shim: string,
  towards: readonly string[],
): HostRoutesFound | undefined {
  const found = linkGet(socket, shim);
  if (found?.macAddress === undefined) return undefined;
  const routes = ownRoutes(socket, found.linkIndex).map((entry) => {
    const source = sourceOf(entry);
    return { address: entry.destination ?? '', ...(source === undefined ? {} : { source }) };
  });
  return { routes, sources: sourcesTowards(socket, towards, found), macAddress: found.macAddress };
}

/** @see ShimPort.hostRoutesChange */
function hostRoutesChange(
  socket: RtnetlinkSocket,
  { shim, put, remove }: HostRoutesChange,
): HostSources | undefined {
  const found = linkGet(socket, shim);
  if (found === undefined || !found.up) return undefined;
  const { linkIndex } = found;
  const sources = sourcesTowards(
    socket,
    put.map(({ towards }) => towards),
    found,
  );
  const removals = remove.flatMap((address) => [
    routeDelete(routeOf(address, linkIndex), `delete the route to ${address}`),
    neighbourDelete(linkIndex, address),
  ]);
  const additions = put.flatMap((route) => {
    const source = sources[route.towards];
    if (source === undefined) return [];
    const entry = routeOf(route.address, linkIndex, source);
    return [neighbourSet(linkIndex, route), routeAdd(entry, `set the route to ${route.address}`, 'add')];
  });
  if (removals.length + additions.length === 0) return sources;
  const asked = [...removals, ...additions];
  const verdicts = socket.batch(asked);
  const standing = verdicts.flatMap((verdict, i) => (verdict?.errno === EEXIST ? [i] : []));
  const failed = verdicts.find(
    (verdict, i) =>
      verdict !== undefined &&
      !standing.includes(i) &&
      !(i < removals.length && GONE.includes(verdict.errno)),
  );
  if (failed !== undefined) throw failed;
  if (standing.length > 0) replaceOwn(socket, found, put, sources);
  return sources;
}

/** Routes that stand already: ours get the new source, those of others are left alone. @throws Conflict */
function replaceOwn(
  socket: RtnetlinkSocket,
  { name, linkIndex }: LinkInfo,
  put: HostRoutesChange['put'],
  sources: HostSources,
): void {
  const own = new Set(ownRoutes(socket, linkIndex).map(({ destination }) => destination));
  const wanted = put.flatMap(({ address, towards }) => {
    const source = sources[towards];
    return source === undefined ? [] : [{ address, source }];
  });
  const replacing = wanted
    .filter(({ address }) => own.has(address))
    .map(({ address, source }) =>
      routeAdd(routeOf(address, linkIndex, source), `set the route to ${address}`, 'replace'),
    );
  const refused =
    replacing.length === 0 ? undefined : socket.batch(replacing).find((one) => one !== undefined);
  if (refused !== undefined) throw refused;
  const foreign = wanted.find(({ address }) => !own.has(address));
  if (foreign === undefined) return;
  throw new Conflict(
    `a route to ${foreign.address} stands already, and is not through ${name}: remove it (ip route delete ${foreign.address}), or leave out -o host_access=true`,
  );
}

/** @see ShimPort.staticNeighbours */
function staticNeighbours(socket: RtnetlinkSocket, { linkIndex, entries }: StaticNeighbours): boolean {
  if (entries.length === 0) return true;
  const verdicts = socket.batch(entries.map((entry) => neighbourSet(linkIndex, entry)));
  const failed: KernelError | undefined = verdicts.find((verdict) => verdict !== undefined);
  if (failed === undefined) return true;
  if (failed.errno === ENODEV) return false;
  throw failed;
}

function ownRoutes(socket: RtnetlinkSocket, linkIndex: number): RouteEntry[] {
  return ([4, 6] as const)
    .flatMap((family) => socket.dump(routeDump(family, 'list the routes')))
    .map(({ payload }) => readRoute(payload))
    .filter((entry) => entry !== undefined)
    .filter((entry) => entry.linkIndex === linkIndex && entry.protocol === ROUTE_PROTOCOL);
}

function routeOf(address: string, linkIndex: number, source?: string): RouteEntry {
  const prefixLength = parseIp(address).family === 4 ? 32 : 128;
  return routeEntry({
    destination: address,
    prefixLength,
    linkIndex,
    protocol: ROUTE_PROTOCOL,
    ...(source === undefined ? {} : { source }),
  });
}

function sourceOf({ family, attributes }: RouteEntry): string | undefined {
  const hex = attributes.find(({ type }) => type === uapi.RTA_PREFSRC)?.hex;
  return hex === undefined ? undefined : asAddress(family, Buffer.from(hex, 'hex'));
}

function sourcesTowards(
  socket: RtnetlinkSocket,
  towards: readonly string[],
  { parentIndex }: LinkInfo,
): HostSources {
  const sources: Record<string, string> = {};
  for (const address of new Set(towards)) {
    const source = sourceTowards(socket, address) ?? ownAddress(socket, parseIp(address).family, parentIndex);
    if (source !== undefined) sources[address] = source;
  }
  return sources;
}

/** For a segment that the host has no route to: its address on the parent, else the first that it has. */
function ownAddress(
  socket: RtnetlinkSocket,
  wanted: IpFamily,
  parentIndex: number | undefined,
): string | undefined {
  const unfit = uapi.IFA_F_SECONDARY | uapi.IFA_F_TENTATIVE | uapi.IFA_F_DEPRECATED;
  const own = socket
    .dump(addressDump('list the addresses'))
    .map(({ payload }) => readAddress(payload))
    .filter((entry) => entry !== undefined)
    .filter(({ family, scope, flags }) => family === wanted && scope === 0 && (flags & unfit) === 0);
  return (own.find(({ linkIndex }) => linkIndex === parentIndex) ?? own[0])?.address;
}

/** The address that the host would send from; undefined if it has no route there. */
function sourceTowards(socket: RtnetlinkSocket, text: string): string | undefined {
  const { family } = parseIp(text);
  const head = Buffer.alloc(RTMSG_BYTES);
  head.writeUInt8(familyNumber(family), 0);
  head.writeUInt8(family === 4 ? 32 : 128, 1);
  const payload = Buffer.concat([head, attribute(uapi.RTA_DST, Buffer.from(addressHex(text), 'hex'))]);
  const request = { type: uapi.RTM_GETROUTE, flags: 0, payload, operation: `look up the route to ${text}` };
  try {
    const [answer] = socket.request(request);
    const entry = answer === undefined ? undefined : readRoute(answer.payload);
    return entry === undefined ? undefined : sourceOf(entry);
  } catch {
    // ENETUNREACH, EHOSTUNREACH, or what a `prohibit` route says: there is no way.
    return undefined;
  }
}

function neighbourSet(linkIndex: number, { address, macAddress }: HostRoute): NetlinkRequest {
  return {
    type: uapi.RTM_NEWNEIGH,
    flags: uapi.NLM_F_CREATE | uapi.NLM_F_REPLACE,
    payload: Buffer.concat([
      ndmsg(linkIndex, address, uapi.NUD_PERMANENT),
      attribute(uapi.NDA_DST, Buffer.from(addressHex(address), 'hex')),
      attribute(uapi.NDA_LLADDR, mac(macAddress)),
    ]),
    operation: `set the neighbour ${address}`,
  };
}

function neighbourDelete(linkIndex: number, address: string): NetlinkRequest {
  const destination = attribute(uapi.NDA_DST, Buffer.from(addressHex(address), 'hex'));
  const payload = Buffer.concat([ndmsg(linkIndex, address, 0), destination]);
  return { type: uapi.RTM_DELNEIGH, flags: 0, payload, operation: `delete the neighbour ${address}` };
}

/** @see net/rtnetlink/neighbour.ts for the layout */
function ndmsg(linkIndex: number, address: string, state: number): Buffer {
  const bytes = Buffer.alloc(NDMSG_BYTES);
  bytes.writeUInt8(familyNumber(parseIp(address).family), 0);
  bytes.writeInt32LE(linkIndex, 4);
  bytes.writeUInt16LE(state, 8);
  return bytes;
}
