/**
 * The MAC address as a fixed function of the IP address: the same address has the same MAC wherever it runs, so
 * neighbours never hold a stale ARP entry and a whole ARP table can be computed in advance.
 *
 * Must not: keep state or look anything up.
 * Source: IEEE 802-2014 §8.2 (bit 0 of the first byte = group, bit 1 = locally administered).
 */
import { InvalidRequest } from './errors.ts';
import type { IpAddress } from './ip.ts';

/** The first two bytes of every MAC that we derive. */
export interface MacPrefix {
  readonly bytes: readonly [number, number];
}

export const DEFAULT_MAC_PREFIX: MacPrefix = { bytes: [0x02, 0x4c] };

const PREFIX = /^([0-9a-f]{2}):([0-9a-f]{2})$/i;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * @param text two bytes, `02:4c`
 * @throws InvalidRequest unless it is of that form, unicast and locally administered
 */
export function parseMacPrefix(text: string): MacPrefix {
  const [, first = '', second = ''] = PREFIX.exec(text) ?? [];
  if (first === '')
    throw new InvalidRequest('the MAC prefix must be two bytes in hex, like 02:4c, the default');
  const bytes = [Number.parseInt(first, 16), Number.parseInt(second, 16)] as const;
  if ((bytes[0] & 0x03) !== 0x02) {
    throw new InvalidRequest(
      `the MAC prefix ${text} is not locally administered unicast: its second digit must be 2, 6, a or e`,
    );
  }
  return { bytes };
}

/**
 * The MAC of an address: prefix, then four bytes.
 *
 * IPv4: the bytes of the address, so no two addresses share a MAC. IPv6 (only for endpoints without IPv4): the
 * low 32 bits of the address, XORed with the FNV-1a hash of its upper 96 bits. Addresses of one /96 thus never
 * share a MAC; a clash with another /96, or with an IPv4 endpoint, on the same segment has odds of 2^-32 a pair.
 * @returns `02:4c:0a:00:00:07`
 */
export function macOf(prefix: MacPrefix, address: IpAddress): string {
  const low = Number(address.value & 0xffff_ffffn);
  const tail = address.family === 4 ? low : (low ^ fnv1a(address.value >> 32n, 12)) >>> 0;
  const bytes = [...prefix.bytes, tail >>> 24, (tail >>> 16) & 0xff, (tail >>> 8) & 0xff, tail & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/**
 * A MAC that a user fixed (`--mac-address`), in lower case.
 * @throws InvalidRequest if it is no MAC, all zero, or a group address
 */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (!MAC.test(mac)) {
    throw new InvalidRequest(`"${text.slice(0, 32)}" is not a MAC address: write it like 02:4c:0a:00:00:07`);
  }
  if (mac === '00:00:00:00:00:00' || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) {
    throw new InvalidRequest(
      `the MAC address ${mac} cannot be given to a link: it is zero or a group address`,
    );
  }
  return mac;
}

/** 32-bit FNV-1a over the `length` bytes of `value`, most significant byte first. */
function fnv1a(value: bigint, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = length - 1; i >= 0; i--) {
    hash ^= Number((value >> BigInt(8 * i)) & 0xffn);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}
