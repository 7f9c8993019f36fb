/**
 * RTM_*ROUTE messages: writes the requests and reads the answers. No socket, no policy. A route that was read can be
 * written again as it was, through the same link or another: what the codec does not know is kept byte by byte.
 *
 * | rtmsg | offset | size | field                                              |
 * |-------|-------:|-----:|----------------------------------------------------|
 * |       |      0 |    1 | rtm_family                                         |
 * |       |      1 |    1 | rtm_dst_len                                        |
 * |       |      2 |    1 | rtm_src_len                                        |
 * |       |      3 |    1 | rtm_tos                                            |
 * |       |      4 |    1 | rtm_table (RTA_TABLE has all 32 bits)              |
 * |       |      5 |    1 | rtm_protocol (RTPROT_*: who made it)               |
 * |       |      6 |    1 | rtm_scope (RT_SCOPE_*)                             |
 * |       |      7 |    1 | rtm_type (RTN_*)                                   |
 * |       |      8 |    4 | rtm_flags (RTNH_F_*, RTM_F_*)                      |
 * |       |     12 |    … | attributes RTA_*; addresses in network byte order  |
 *
 * @see linux/rtnetlink.h struct rtmsg, struct rta_cacheinfo
 */
import { type IpFamily, parseIp } from '../../core/ip.ts';
import {
  addressHex,
  asAddress,
  familyNumber,
  familyOf,
  type RawAttribute,
  rawAttributes,
  writeAttributes,
} from './address.ts';
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { asU32, attribute, readAttributes, u32 } from './wire.ts';

const RTMSG_BYTES = 12;
/** Ticks a second of the times that the kernel tells (USER_HZ). */
const USER_HZ = 100;
/** The other flags say what became of the route, not what was asked. */
const ASKED_FLAGS = uapi.RTNH_F_ONLINK | uapi.RTNH_F_PERVASIVE;
/** The way of a route, where a nexthop object (RTA_NH_ID) says it too: the kernel tells both and takes one. */
const WAY: readonly number[] = [
  uapi.RTA_OIF,
  uapi.RTA_GATEWAY,
  uapi.RTA_VIA,
  uapi.RTA_MULTIPATH,
  uapi.RTA_ENCAP,
  uapi.RTA_ENCAP_TYPE,
];

export interface RouteEntry {
  readonly family: IpFamily;
  /** `10.0.0.0`; absent for the default route. */
  readonly destination?: string | undefined;
  readonly prefixLength: number;
  /** Absent if it has none, or several ways. */
  readonly linkIndex?: number | undefined;
  readonly gateway?: string | undefined;
  /** 254 = main, 255 = local. */
  readonly table: number;
  /** RTPROT_*: 2 = the kernel itself, 3 = at boot, 4 = by hand. */
  readonly protocol: number;
  readonly scope: number;
  /** RTN_*: 1 = unicast. */
  readonly type: number;
  readonly tos: number;
  /** RTNH_F_*, RTM_F_* */
  readonly flags: number;
  readonly sourcePrefixLength: number;
  /** Several ways, or a nexthop object. */
  readonly shared: boolean;
  /** All but RTA_OIF. */
  readonly attributes: readonly RawAttribute[];
}

/** A route that is not read but made up, in table main unless it is said. */
export function routeEntry(spec: {
  /** Without host bits. */
  readonly destination: string;
  readonly prefixLength: number;
  readonly linkIndex: number;
  readonly gateway?: string;
  /** RTA_PREFSRC: the address from which packets go out. */
  readonly source?: string;
  readonly table?: number;
  readonly protocol?: number;
  readonly scope?: number;
  readonly metric?: number;
}): RouteEntry {
  const { destination, prefixLength, linkIndex, gateway, source, table = uapi.RT_TABLE_MAIN } = spec;
  const { family } = parseIp(destination);
  const attributes: RawAttribute[] = [{ type: uapi.RTA_DST, hex: addressHex(destination) }];
  if (gateway !== undefined) attributes.push({ type: uapi.RTA_GATEWAY, hex: addressHex(gateway) });
  if (source !== undefined) attributes.push({ type: uapi.RTA_PREFSRC, hex: addressHex(source) });
  if (spec.metric !== undefined)
    attributes.push({ type: uapi.RTA_PRIORITY, hex: u32(spec.metric).toString('hex') });
  attributes.push({ type: uapi.RTA_TABLE, hex: u32(table).toString('hex') });
  const near = family === 4 && gateway === undefined ? uapi.RT_SCOPE_LINK : uapi.RT_SCOPE_UNIVERSE;
  return {
    family,
    destination,
    prefixLength,
    linkIndex,
    ...(gateway === undefined ? {} : { gateway }),
    table,
    protocol: spec.protocol ?? uapi.RTPROT_STATIC,
    scope: spec.scope ?? near,
    type: uapi.RTN_UNICAST,
    tos: 0,
    flags: 0,
    sourcePrefixLength: 0,
    shared: false,
    attributes,
  };
}

/** RTM_GETROUTE of all routes of all tables of one family, for `RtnetlinkSocket.dump`. */
export function routeDump(family: IpFamily, operation: string): NetlinkRequest {
  const payload = Buffer.alloc(RTMSG_BYTES);
  payload.writeUInt8(familyNumber(family), 0);
  return { type: uapi.RTM_GETROUTE, flags: 0, payload, operation };
}

/**
 * RTM_NEWROUTE. `add` fails with EEXIST if there is a route to the same destination with the same metric. `beside`
 * sets it beside such a one: an IPv4 route before it, an IPv6 route with a gateway as a further way. `replace` takes
 * the place of one, through whatever link.
 */
export function routeAdd(
  entry: RouteEntry,
  operation: string,
  as: 'add' | 'beside' | 'replace' = 'add',
): NetlinkRequest {
  const how = { add: uapi.NLM_F_EXCL, beside: 0, replace: uapi.NLM_F_REPLACE }[as];
  return { type: uapi.RTM_NEWROUTE, flags: uapi.NLM_F_CREATE | how, payload: payloadOf(entry), operation };
}

/** RTM_DELROUTE of exactly this route; ESRCH if there is none. */
export function routeDelete(entry: RouteEntry, operation: string): NetlinkRequest {
  return { type: uapi.RTM_DELROUTE, flags: 0, payload: payloadOf(entry), operation };
}

/** @param payload of an RTM_NEWROUTE or RTM_DELROUTE message. @returns undefined if it is neither IPv4 nor IPv6 */
export function readRoute(payload: Buffer): RouteEntry | undefined {
  const family = payload.length < RTMSG_BYTES ? undefined : familyOf(payload.readUInt8(0));
  if (family === undefined) return undefined;
  const read = readAttributes(payload.subarray(RTMSG_BYTES));
  const value = (wanted: number): Buffer | undefined => read.find(({ type }) => type === wanted)?.value;
  const destination = asAddress(family, value(uapi.RTA_DST));
  const gateway = asAddress(family, value(uapi.RTA_GATEWAY));
  const linkIndex = asU32(value(uapi.RTA_OIF));
  return {
    family,
    ...(destination === undefined ? {} : { destination }),
    prefixLength: payload.readUInt8(1),
    ...(linkIndex === undefined ? {} : { linkIndex }),
    ...(gateway === undefined ? {} : { gateway }),
    table: asU32(value(uapi.RTA_TABLE)) ?? payload.readUInt8(4),
    protocol: payload.readUInt8(5),
    scope: payload.readUInt8(6),
    type: payload.readUInt8(7),
    tos: payload.readUInt8(3),
    flags: payload.readUInt32LE(8),
    sourcePrefixLength: payload.readUInt8(2),
    shared: value(uapi.RTA_MULTIPATH) !== undefined || value(uapi.RTA_NH_ID) !== undefined,
    attributes: rawAttributes(read.filter(({ type }) => type !== uapi.RTA_OIF)),
  };
}

function payloadOf(entry: RouteEntry): Buffer {
  const head = Buffer.alloc(RTMSG_BYTES);
  head.writeUInt8(familyNumber(entry.family), 0);
  head.writeUInt8(entry.prefixLength, 1);
  head.writeUInt8(entry.sourcePrefixLength, 2);
  head.writeUInt8(entry.tos, 3);
  head.writeUInt8(entry.table < 256 ? entry.table : uapi.RT_TABLE_UNSPEC, 4);
  head.writeUInt8(entry.protocol, 5);
  head.writeUInt8(entry.scope, 6);
  head.writeUInt8(entry.type, 7);
  head.writeUInt32LE((entry.flags & ASKED_FLAGS) >>> 0, 8);
  const byObject = entry.attributes.some(({ type }) => type === uapi.RTA_NH_ID);
  const told: readonly number[] = [uapi.RTA_CACHEINFO, uapi.RTA_PAD, uapi.RTA_UID, ...(byObject ? WAY : [])];
  return Buffer.concat([
    head,
    ...writeAttributes(entry.attributes.filter(({ type }) => !told.includes(type))),
    ...(byObject || entry.linkIndex === undefined ? [] : [attribute(uapi.RTA_OIF, u32(entry.linkIndex))]),
    ...expiry(entry),
  ]);
}

/** What is left of the life of an IPv6 route; the kernel tells it in one attribute and takes it in another. */
function expiry({ family, attributes }: RouteEntry): Buffer[] {
  const info = attributes.find(({ type }) => type === uapi.RTA_CACHEINFO);
  if (family === 4 || info === undefined) return [];
  const bytes = Buffer.from(info.hex, 'hex');
  const ticks = bytes.length >= 12 ? bytes.readInt32LE(8) : 0;
  return ticks > 0 ? [attribute(uapi.RTA_EXPIRES, u32(Math.ceil(ticks / USER_HZ)))] : [];
}
