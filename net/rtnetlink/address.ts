/**
 * RTM_*ADDR messages: writes the requests and reads the answers. No socket, no policy. An address that was read can be
 * written again as it was, on the same link or another: what the codec does not know is kept byte by byte.
 *
 * | ifaddrmsg | offset | size | field                                              |
 * |-----------|-------:|-----:|----------------------------------------------------|
 * |           |      0 |    1 | ifa_family                                         |
 * |           |      1 |    1 | ifa_prefixlen                                      |
 * |           |      2 |    1 | ifa_flags (the lower 8 bits of IFA_FLAGS)          |
 * |           |      3 |    1 | ifa_scope (RT_SCOPE_*)                             |
 * |           |      4 |    4 | ifa_index                                          |
 * |           |      8 |    … | attributes IFA_*; addresses in network byte order  |
 *
 * @see linux/if_addr.h struct ifaddrmsg, struct ifa_cacheinfo
 */
import { formatIp, type IpFamily, ipFromHex, ipToHex, parseIp } from '../../core/ip.ts';
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { asText, asU32, attribute, readAttributes, u32 } from './wire.ts';

const IFADDRMSG_BYTES = 8;

/** An attribute as the kernel gave it; plain, so that it can be kept on disk. */
export interface RawAttribute {
  readonly type: number;
  /** The value, without padding. */
  readonly hex: string;
}

/** An address of a link. */
export interface AddressEntry {
  readonly family: IpFamily;
  readonly linkIndex: number;
  /** `10.0.0.5`; of a point-to-point link its near end. */
  readonly address: string;
  readonly prefixLength: number;
  /** RT_SCOPE_*: 0 = global, 253 = link, 254 = host. */
  readonly scope: number;
  /** IFA_F_* */
  readonly flags: number;
  /** IPv4 only; `eth0`, `eth0:1`. */
  readonly label?: string | undefined;
  /** Seconds it is valid for from the time it was read; absent = for ever. */
  readonly validSeconds?: number | undefined;
  /** All but the flags. */
  readonly attributes: readonly RawAttribute[];
}

/** An address that is not read but made up. @param family is that of `address` */
export function addressEntry(spec: {
  readonly linkIndex: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly scope?: number;
  readonly flags?: number;
}): AddressEntry {
  const { linkIndex, address, prefixLength, scope = 0, flags = 0 } = spec;
  const { family } = parseIp(address);
  const hex = addressHex(address);
  const attributes = [uapi.IFA_LOCAL, uapi.IFA_ADDRESS].map((type) => ({ type, hex }));
  return { family, linkIndex, address, prefixLength, scope, flags, attributes };
}

/** RTM_GETADDR of all addresses of all links, both families, for `RtnetlinkSocket.dump`. */
export function addressDump(operation: string): NetlinkRequest {
  return { type: uapi.RTM_GETADDR, flags: 0, payload: Buffer.alloc(IFADDRMSG_BYTES), operation };
}

/**
 * RTM_NEWADDR that adds, and fails with EEXIST if the link has the address.
 * @param as `replace`: sets flags and lifetimes of one that stands; for IPv6 without a new search for duplicates
 */
export function addressAdd(
  entry: AddressEntry,
  operation: string,
  as: 'add' | 'replace' = 'add',
): NetlinkRequest {
  const flags = uapi.NLM_F_CREATE | (as === 'add' ? uapi.NLM_F_EXCL : uapi.NLM_F_REPLACE);
  return { type: uapi.RTM_NEWADDR, flags, payload: payloadOf(entry), operation };
}

/** RTM_DELADDR; EADDRNOTAVAIL if the link does not have it. */
export function addressDelete(entry: AddressEntry, operation: string): NetlinkRequest {
  const named = [uapi.IFA_LOCAL, uapi.IFA_ADDRESS];
  const attributes = entry.attributes.filter(({ type }) => named.includes(type));
  return { type: uapi.RTM_DELADDR, flags: 0, payload: payloadOf({ ...entry, attributes }), operation };
}

/** @param payload of an RTM_NEWADDR or RTM_DELADDR message. @returns undefined if it is neither IPv4 nor IPv6 */
export function readAddress(payload: Buffer): AddressEntry | undefined {
  const family = payload.length < IFADDRMSG_BYTES ? undefined : familyOf(payload.readUInt8(0));
  if (family === undefined) return undefined;
  const read = readAttributes(payload.subarray(IFADDRMSG_BYTES));
  const value = (wanted: number): Buffer | undefined => read.find(({ type }) => type === wanted)?.value;
  const address = asAddress(family, value(uapi.IFA_LOCAL) ?? value(uapi.IFA_ADDRESS));
  if (address === undefined) return undefined;
  const label = asText(value(uapi.IFA_LABEL));
  const validSeconds = asU32(value(uapi.IFA_CACHEINFO)?.subarray(4));
  return {
    family,
    linkIndex: payload.readUInt32LE(4),
    address,
    prefixLength: payload.readUInt8(1),
    scope: payload.readUInt8(3),
    flags: asU32(value(uapi.IFA_FLAGS)) ?? payload.readUInt8(2),
    ...(label === undefined ? {} : { label }),
    ...(validSeconds === undefined || validSeconds === uapi.INFINITY_LIFE_TIME ? {} : { validSeconds }),
    attributes: rawAttributes(read.filter(({ type }) => type !== uapi.IFA_FLAGS)),
  };
}

function payloadOf(entry: AddressEntry): Buffer {
  const head = Buffer.alloc(IFADDRMSG_BYTES);
  head.writeUInt8(familyNumber(entry.family), 0);
  head.writeUInt8(entry.prefixLength, 1);
  head.writeUInt8(entry.flags & 0xff, 2);
  head.writeUInt8(entry.scope, 3);
  head.writeUInt32LE(entry.linkIndex, 4);
  return Buffer.concat([
    head,
    ...writeAttributes(entry.attributes),
    attribute(uapi.IFA_FLAGS, u32(entry.flags >>> 0)),
  ]);
}

/** The kernel's number of an address family. */
export function familyNumber(family: IpFamily): number {
  return family === 4 ? uapi.AF_INET : uapi.AF_INET6;
}

/** @returns undefined for families other than the two */
export function familyOf(number: number): IpFamily | undefined {
  if (number === uapi.AF_INET) return 4;
  return number === uapi.AF_INET6 ? 6 : undefined;
}

/** @returns undefined if the value has not the length of the family's addresses */
export function asAddress(family: IpFamily, value: Buffer | undefined): string | undefined {
  if (value?.length !== (family === 4 ? 4 : 16)) return undefined;
  return formatIp(ipFromHex(value.toString('hex')));
}

/** The bytes of an address, as `RawAttribute` has them. @throws InvalidRequest if it is none */
export function addressHex(address: string): string {
  return ipToHex(parseIp(address));
}

/** Attributes as they are kept. */
export function rawAttributes(
  read: readonly { readonly type: number; readonly value: Buffer }[],
): RawAttribute[] {
  return read.map(({ type, value }) => ({ type, hex: value.toString('hex') }));
}

/** Attributes as they are sent. */
export function writeAttributes(attributes: readonly RawAttribute[]): Buffer[] {
  return attributes.map(({ type, hex }) => attribute(type, Buffer.from(hex, 'hex')));
}
