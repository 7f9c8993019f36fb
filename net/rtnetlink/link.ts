/**
 * RTM_*LINK messages: writes the requests and reads the answers. No socket, no policy. Readers take messages of any
 * length: newer kernels append attributes, older ones lack some.
 *
 * | ifinfomsg | offset | size | field                                   |
 * |-----------|-------:|-----:|-----------------------------------------|
 * |           |      0 |    1 | ifi_family                              |
 * |           |      2 |    2 | ifi_type (ARPHRD_*)                     |
 * |           |      4 |    4 | ifi_index                               |
 * |           |      8 |    4 | ifi_flags (IFF_*)                       |
 * |           |     12 |    4 | ifi_change (mask of flags to set)       |
 * |           |     16 |    … | attributes IFLA_*                       |
 *
 * @see linux/rtnetlink.h struct ifinfomsg, linux/if_link.h
 */
import type { LinkInfo, MacvlanMode } from '../port.ts';
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { asMac, asText, asU16, asU32, attribute, attributeMap, mac, nested, text, u16, u32 } from './wire.ts';

const IFINFOMSG_BYTES = 16;

/** Numbers of IFLA_MACVLAN_MODE. */
const MACVLAN_MODES: Readonly<Record<MacvlanMode, number>> = {
  private: uapi.MACVLAN_MODE_PRIVATE,
  vepa: uapi.MACVLAN_MODE_VEPA,
  bridge: uapi.MACVLAN_MODE_BRIDGE,
  passthru: uapi.MACVLAN_MODE_PASSTHRU,
};

/** What a link is made of, for every kind. */
export interface LinkAttributes {
  readonly name: string;
  readonly parentIndex?: number;
  readonly macAddress?: string;
  readonly mtuBytes?: number;
  readonly kind: string;
  /** IFLA_INFO_DATA; see `macvlanData`, `vlanData`. */
  readonly kindData?: Buffer;
  /** Descriptor of the namespace that it is made in; its parent is in the socket's. */
  readonly namespaceFd?: number;
}

/**
 * RTM_NEWLINK that creates, and fails with EEXIST if the name is taken. MAC, MTU and parent are set by the creation
 * itself. IFLA_IFALIAS is not among them: the kernel ignores it there without a word (net/core/rtnetlink.c
 * rtnl_create_link), see `linkAliasSet`.
 */
export function linkCreate(link: LinkAttributes, operation: string): NetlinkRequest {
  const attributes = [attribute(uapi.IFLA_IFNAME, text(link.name))];
  if (link.parentIndex !== undefined) attributes.push(attribute(uapi.IFLA_LINK, u32(link.parentIndex)));
  if (link.macAddress !== undefined) attributes.push(attribute(uapi.IFLA_ADDRESS, mac(link.macAddress)));
  if (link.mtuBytes !== undefined) attributes.push(attribute(uapi.IFLA_MTU, u32(link.mtuBytes)));
  if (link.namespaceFd !== undefined) attributes.push(attribute(uapi.IFLA_NET_NS_FD, u32(link.namespaceFd)));
  attributes.push(linkInfo(link.kind, link.kindData));
  return {
    type: uapi.RTM_NEWLINK,
    flags: uapi.NLM_F_CREATE | uapi.NLM_F_EXCL,
    payload: Buffer.concat([ifinfomsg(), ...attributes]),
    operation,
  };
}

/**
 * RTM_NEWLINK that sets the alias of a link that stands. It names the kind with its data, because then the kernel
 * refuses (EOPNOTSUPP) if the link of that name is of another kind.
 */
export function linkAliasSet(
  name: string,
  alias: string,
  kind: string,
  kindData: Buffer,
  operation: string,
): NetlinkRequest {
  return {
    type: uapi.RTM_NEWLINK,
    flags: 0,
    payload: Buffer.concat([
      ifinfomsg(),
      attribute(uapi.IFLA_IFNAME, text(name)),
      // Without NUL: the kernel counts one to the 255 bytes that it allows.
      attribute(uapi.IFLA_IFALIAS, Buffer.from(alias)),
      linkInfo(kind, kindData),
    ]),
    operation,
  };
}

/** RTM_NEWLINK that sets a link up, by name, so that it can follow its creation in one batch. */
export function linkUp(name: string, operation: string): NetlinkRequest {
  const head = ifinfomsg();
  head.writeUInt32LE(uapi.IFF_UP, 8);
  head.writeUInt32LE(uapi.IFF_UP, 12);
  const payload = Buffer.concat([head, attribute(uapi.IFLA_IFNAME, text(name))]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/**
 * RTM_NEWLINK that sets IFLA_AF_SPEC of one family of a link that stands, by name. A creation ignores it.
 * @param family AF_INET, AF_INET6 @param attributes IFLA_INET_*, IFLA_INET6_*
 */
export function linkAfSpec(
  name: string,
  family: number,
  attributes: readonly Buffer[],
  operation: string,
): NetlinkRequest {
  const spec = nested(uapi.IFLA_AF_SPEC, nested(family, ...attributes));
  const payload = Buffer.concat([ifinfomsg(), attribute(uapi.IFLA_IFNAME, text(name)), spec]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/** RTM_NEWLINK that gives a link that is down another name. */
export function linkRename(linkIndex: number, name: string, operation: string): NetlinkRequest {
  const payload = Buffer.concat([ifinfomsg(linkIndex), attribute(uapi.IFLA_IFNAME, text(name))]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/** RTM_DELLINK by index. The kernel holds the caller for some 20 ms (synchronize_rcu). */
export function linkDelete(linkIndex: number, operation: string): NetlinkRequest {
  return { type: uapi.RTM_DELLINK, flags: 0, payload: ifinfomsg(linkIndex), operation };
}

/** RTM_DELLINK by name, so that it can follow a creation in one batch. */
export function linkDeleteByName(name: string, operation: string): NetlinkRequest {
  const payload = Buffer.concat([ifinfomsg(), attribute(uapi.IFLA_IFNAME, text(name))]);
  return { type: uapi.RTM_DELLINK, flags: 0, payload, operation };
}

/** RTM_GETLINK of one link by name; ENODEV if there is none. */
export function linkGet(name: string, operation: string): NetlinkRequest {
  const payload = Buffer.concat([ifinfomsg(), attribute(uapi.IFLA_IFNAME, text(name)), withoutStatistics()]);
  return { type: uapi.RTM_GETLINK, flags: 0, payload, operation };
}

/** RTM_GETLINK of all links, for `RtnetlinkSocket.dump`. */
export function linkDump(operation: string): NetlinkRequest {
  const payload = Buffer.concat([ifinfomsg(), withoutStatistics()]);
  return { type: uapi.RTM_GETLINK, flags: 0, payload, operation };
}

/** IFLA_INFO_DATA of kind `macvlan`. */
export function macvlanData(mode: MacvlanMode): Buffer {
  return attribute(uapi.IFLA_MACVLAN_MODE, u32(MACVLAN_MODES[mode]));
}

/** IFLA_INFO_DATA of kind `ipvlan`, mode l2. */
export function ipvlanData(): Buffer {
  return attribute(uapi.IFLA_IPVLAN_MODE, u16(uapi.IPVLAN_MODE_L2));
}

/** IFLA_INFO_DATA of kind `vlan`. @param vlanId 1–4094 */
export function vlanData(vlanId: number): Buffer {
  return attribute(uapi.IFLA_VLAN_ID, u16(vlanId));
}

/** @param payload of an RTM_NEWLINK message. @returns undefined if it is no link (too short, no name) */
export function readLink(payload: Buffer): LinkInfo | undefined {
  if (payload.length < IFINFOMSG_BYTES) return undefined;
  const attributes = attributeMap(payload.subarray(IFINFOMSG_BYTES));
  const name = asText(attributes.get(uapi.IFLA_IFNAME));
  if (name === undefined || name === '') return undefined;
  const flags = payload.readUInt32LE(8);
  return {
    name,
    linkIndex: payload.readInt32LE(4),
    mtuBytes: asU32(attributes.get(uapi.IFLA_MTU)) ?? 0,
    up: (flags & uapi.IFF_UP) !== 0,
    carrier: (flags & uapi.IFF_LOWER_UP) !== 0,
    ...present('macAddress', asMac(attributes.get(uapi.IFLA_ADDRESS))),
    ...present('alias', asText(attributes.get(uapi.IFLA_IFALIAS))),
    ...present('parentIndex', readParentIndex(attributes)),
    ...present('masterIndex', asU32(attributes.get(uapi.IFLA_MASTER))),
    ...readLinkInfo(attributes.get(uapi.IFLA_LINKINFO)),
  };
}

/** Where the parent of a link is, if that is in another namespace: its index there, and the id of that namespace. */
export function readOuterParent(
  payload: Buffer,
): { readonly linkIndex: number; readonly nsid: number } | undefined {
  const attributes = attributeMap(payload.subarray(IFINFOMSG_BYTES));
  const linkIndex = asU32(attributes.get(uapi.IFLA_LINK));
  const nsid = asU32(attributes.get(uapi.IFLA_LINK_NETNSID));
  return linkIndex === undefined || nsid === undefined ? undefined : { linkIndex, nsid };
}

function readParentIndex(attributes: ReadonlyMap<number, Buffer>): number | undefined {
  if (attributes.has(uapi.IFLA_LINK_NETNSID)) return undefined;
  const parentIndex = asU32(attributes.get(uapi.IFLA_LINK));
  return parentIndex === 0 ? undefined : parentIndex;
}

function readLinkInfo(
  value: Buffer | undefined,
): Pick<LinkInfo, 'kind' | 'macvlanMode' | 'vlanId' | 'serviceVlan'> {
  const info = attributeMap(value);
  const kind = asText(info.get(uapi.IFLA_INFO_KIND));
  const data = attributeMap(info.get(uapi.IFLA_INFO_DATA));
  return {
    ...present('kind', kind),
    ...present('macvlanMode', kind === 'macvlan' ? readMode(data.get(uapi.IFLA_MACVLAN_MODE)) : undefined),
    ...present('vlanId', kind === 'vlan' ? asU16(data.get(uapi.IFLA_VLAN_ID)) : undefined),
    ...present('serviceVlan', kind === 'vlan' && isServiceVlan(data) ? true : undefined),
  };
}

function isServiceVlan(data: ReadonlyMap<number, Buffer>): boolean {
  const value = data.get(uapi.IFLA_VLAN_PROTOCOL);
  return value !== undefined && value.length >= 2 && value.readUInt16BE(0) === uapi.ETH_P_8021AD;
}

function readMode(value: Buffer | undefined): MacvlanMode | undefined {
  const number = asU32(value);
  for (const mode of ['bridge', 'private', 'vepa', 'passthru'] as const) {
    if (MACVLAN_MODES[mode] === number) return mode;
  }
  return undefined;
}

function present<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

function linkInfo(kind: string, kindData: Buffer | undefined): Buffer {
  // The kind goes without NUL, as iproute2 sends it; kernels take both.
  const children = [attribute(uapi.IFLA_INFO_KIND, Buffer.from(kind))];
  if (kindData !== undefined) children.push(nested(uapi.IFLA_INFO_DATA, kindData));
  return nested(uapi.IFLA_LINKINFO, ...children);
}

function ifinfomsg(linkIndex = 0): Buffer {
  const bytes = Buffer.alloc(IFINFOMSG_BYTES);
  bytes.writeUInt8(uapi.AF_UNSPEC, 0);
  bytes.writeInt32LE(linkIndex, 4);
  return bytes;
}

function withoutStatistics(): Buffer {
  return attribute(uapi.IFLA_EXT_MASK, u32(uapi.RTEXT_FILTER_SKIP_STATS));
}
