/**
 * Bytes of netlink: writes and reads messages and attributes. Knows no family (links, neighbours, qdiscs bring their
 * own structs). The reader never reads out of bounds and never throws: what is cut off or malformed ends the walk,
 * unknown attributes are handed on as they are.
 *
 * Byte order is the host's; only little-endian hosts are supported (`libc.ts` refuses others).
 *
 * | message     | offset | size | field                                    |
 * |-------------|-------:|-----:|------------------------------------------|
 * | nlmsghdr    |      0 |    4 | nlmsg_len, header included, not padded   |
 * |             |      4 |    2 | nlmsg_type                               |
 * |             |      6 |    2 | nlmsg_flags                              |
 * |             |      8 |    4 | nlmsg_seq                                |
 * |             |     12 |    4 | nlmsg_pid (0 from us: the kernel knows)  |
 * |             |     16 |    … | payload, padded to 4                     |
 * | rtattr      |      0 |    2 | rta_len, header included, not padded     |
 * |             |      2 |    2 | rta_type; bit 15 = nested, bit 14 = big-endian |
 * |             |      4 |    … | value, padded to 4                       |
 *
 * @see linux/netlink.h struct nlmsghdr, struct nlattr
 */
import { NLA_F_NESTED, NLA_TYPE_MASK } from './uapi.ts';

export const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Of the socket that asked for what is told; 0: nobody did. */
  readonly port: number;
  readonly payload: Buffer;
}

export interface Attribute {
  /** Without the flag bits. */
  readonly type: number;
  readonly value: Buffer;
}

/** Rounds up to the next multiple of 4 (NLMSG_ALIGN, RTA_ALIGN). */
export function align(bytes: number): number {
  return (bytes + 3) & ~3;
}

/** One message, padded. */
export function message(type: number, flags: number, sequence: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(align(MESSAGE_HEADER_BYTES + payload.length));
  bytes.writeUInt32LE(MESSAGE_HEADER_BYTES + payload.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  payload.copy(bytes, MESSAGE_HEADER_BYTES);
  return bytes;
}

/**
 * One attribute, padded.
 * @throws RangeError if the value does not fit the 16-bit length
 */
export function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(align(ATTRIBUTE_HEADER_BYTES + value.length));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** An attribute that holds attributes. */
export function nested(type: number, ...children: readonly Buffer[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(children));
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value, 0);
  return bytes;
}

/** A C string with its NUL. */
export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'utf8');
}

/** @param value `02:4c:0a:00:00:07` */
export function mac(value: string): Buffer {
  return Buffer.from(value.replaceAll(':', ''), 'hex');
}

/** All whole messages of a datagram; a cut-off rest is dropped. Payloads share the memory of `bytes`. */
export function readMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + MESSAGE_HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < MESSAGE_HEADER_BYTES || at + length > bytes.length) break;
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      port: bytes.readUInt32LE(at + 12),
      payload: bytes.subarray(at + MESSAGE_HEADER_BYTES, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** All whole attributes; a cut-off rest is dropped. Values share the memory of `bytes`. */
export function readAttributes(bytes: Buffer): Attribute[] {
  const attributes: Attribute[] = [];
  for (let at = 0; at + ATTRIBUTE_HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > bytes.length) break;
    attributes.push({
      type: bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK,
      value: bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length),
    });
    at += align(length);
  }
  return attributes;
}

/** Attributes by type, for where no type occurs twice (the first one counts). */
export function attributeMap(bytes: Buffer | undefined): ReadonlyMap<number, Buffer> {
  const map = new Map<number, Buffer>();
  if (bytes === undefined) return map;
  for (const { type, value } of readAttributes(bytes)) if (!map.has(type)) map.set(type, value);
  return map;
}

/** @returns undefined if there is no value or it is shorter than 4 bytes; longer ones are cut */
export function asU32(value: Buffer | undefined): number | undefined {
  return value !== undefined && value.length >= 4 ? value.readUInt32LE(0) : undefined;
}

/** @returns undefined if there is no value or it is shorter than 2 bytes; longer ones are cut */
export function asU16(value: Buffer | undefined): number | undefined {
  return value !== undefined && value.length >= 2 ? value.readUInt16LE(0) : undefined;
}

/** Text up to the first NUL or the end. */
export function asText(value: Buffer | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}

/** `02:4c:0a:00:00:07`; undefined for addresses that are not six bytes long (tunnels, InfiniBand). */
export function asMac(value: Buffer | undefined): string | undefined {
  if (value?.length !== 6) return undefined;
  return [...value].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
