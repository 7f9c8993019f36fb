/**
 * Addresses and subnets as values: strict parsing, arithmetic on bigint, one form for IPv4 and IPv6.
 *
 * Must not: accept what people do not mean (`010.0.0.1`, `1`, `10.1`): ipaddr.js alone would.
 * Source: RFC 4632 (CIDR), RFC 5952 (text form of IPv6), RFC 3021 (/31).
 */
import ipaddr from 'ipaddr.js';
import { InvalidRequest } from './errors.ts';

export type IpFamily = 4 | 6;

/** One address. Two addresses are equal if family and value are. */
export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}

/** A subnet: `base` has no host bits set. */
export interface Cidr {
  readonly family: IpFamily;
  readonly base: bigint;
  readonly prefixLength: number;
}

/** An inclusive range of addresses of one family. */
export interface IpRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
}

const widthOf = (family: IpFamily): number => (family === 4 ? 32 : 128);

/**
 * @param text `10.1.2.3` or `fd00::1`; no prefix length, no zone, no leading zeros
 * @throws InvalidRequest if it is not an address
 */
export function parseIp(text: string): IpAddress {
  if (ipaddr.IPv4.isValidFourPartDecimal(text) && !/(^|\.)0\d/.test(text)) {
    return { family: 4, value: bytesToBigint(ipaddr.IPv4.parse(text).toByteArray()) };
  }
  if (text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text)) {
    return { family: 6, value: bytesToBigint(ipaddr.IPv6.parse(text).toByteArray()) };
  }
  throw new InvalidRequest(`"${clip(text)}" is not an IP address: write it like 10.0.0.7 or fd00::7`);
}

/** Canonical text: dotted decimal, or RFC 5952. */
export function formatIp(address: IpAddress): string {
  if (address.family === 6) return new ipaddr.IPv6(bigintToBytes(address.value, 16)).toRFC5952String();
  // Often, for keys of the store.
  const bits = Number(address.value);
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

/**
 * @param text `10.1.0.0/16`; host bits (`10.1.2.3/16`) are cleared, because engines differ in whether they do
 * @throws InvalidRequest if it is not a subnet
 */
export function parseCidr(text: string): Cidr {
  return parseInterface(text).subnet;
}

/**
 * An address with its subnet, as an interface carries it.
 * @param text `10.1.2.3/16`
 * @throws InvalidRequest if it is not of that form
 */
export function parseInterface(text: string): { readonly address: IpAddress; readonly subnet: Cidr } {
  const [ip = '', length = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) {
    throw new InvalidRequest(`"${clip(text)}" is not a subnet: write it like 10.0.0.0/16 or fd00::/64`);
  }
  const address = parseIp(ip);
  const prefixLength = Number(length);
  if (prefixLength > widthOf(address.family)) {
    throw new InvalidRequest(
      `"${clip(text)}" is not a subnet: the prefix length is at most ${widthOf(address.family)}`,
    );
  }
  return { address, subnet: subnetOf(address, prefixLength) };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp({ family: cidr.family, value: cidr.base })}/${cidr.prefixLength}`;
}

export function subnetOf(address: IpAddress, prefixLength: number): Cidr {
  const hostBits = BigInt(widthOf(address.family) - prefixLength);
  return { family: address.family, base: (address.value >> hostBits) << hostBits, prefixLength };
}

/** Number of addresses in the subnet, network and broadcast address included. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(widthOf(cidr.family) - cidr.prefixLength);
}

/** All addresses of the subnet, network and broadcast address included. */
export function cidrRange(cidr: Cidr): IpRange {
  return { family: cidr.family, first: cidr.base, last: cidr.base + cidrSize(cidr) - 1n };
}

/**
 * The addresses that may be given to hosts: without network and broadcast address for IPv4 up to /30, all of
 * a /31 (RFC 3021) or /32; for IPv6 without the subnet-router anycast address (RFC 4291 §2.6.1).
 */
export function usableRange(cidr: Cidr): IpRange {
  const { family, first, last } = cidrRange(cidr);
  if (cidrSize(cidr) <= 2n) return { family, first, last };
  return family === 4 ? { family, first: first + 1n, last: last - 1n } : { family, first: first + 1n, last };
}

export function rangeSize(range: IpRange): bigint {
  return range.last < range.first ? 0n : range.last - range.first + 1n;
}

export function rangeHas(range: IpRange, address: IpAddress): boolean {
  return range.family === address.family && range.first <= address.value && address.value <= range.last;
}

/** The common part of two ranges; its size is 0 if there is none. */
export function rangeIntersection(a: IpRange, b: IpRange): IpRange {
  if (a.family !== b.family) return { family: a.family, first: 0n, last: -1n };
  const [, first] = inOrder(a.first, b.first);
  const [last] = inOrder(a.last, b.last);
  return { family: a.family, first, last };
}

export function cidrHas(cidr: Cidr, address: IpAddress): boolean {
  return rangeHas(cidrRange(cidr), address);
}

export function cidrContains(outer: Cidr, inner: Cidr): boolean {
  const range = cidrRange(inner);
  return (
    cidrHas(outer, { family: inner.family, value: range.first }) && outer.prefixLength <= inner.prefixLength
  );
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return cidrContains(a, b) || cidrContains(b, a);
}

/** Fixed-width hex, so that the order of keys is the order of addresses: 8 digits for IPv4, 32 for IPv6. */
export function ipToHex(address: IpAddress): string {
  // Often, for keys of the store.
  if (address.family === 4) return Number(address.value).toString(16).padStart(8, '0');
  return address.value.toString(16).padStart(32, '0');
}

/** Inverse of {@link ipToHex}. @throws InvalidRequest if it is neither 8 nor 32 hex digits */
export function ipFromHex(hex: string): IpAddress {
  if (!/^([0-9a-f]{8}|[0-9a-f]{32})$/.test(hex))
    throw new InvalidRequest(`"${clip(hex)}" is not an address key`);
  return { family: hex.length === 8 ? 4 : 6, value: BigInt(`0x${hex}`) };
}

function inOrder(a: bigint, b: bigint): [lower: bigint, higher: bigint] {
  return a <= b ? [a, b] : [b, a];
}

function bytesToBigint(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function bigintToBytes(value: bigint, length: number): number[] {
  return Array.from({ length }, (_, i) => Number((value >> BigInt(8 * (length - 1 - i))) & 0xffn));
}

/** User input in an error text: short and printable. */
function clip(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return printable.length > 64 ? `${printable.slice(0, 61)}...` : printable;
}
