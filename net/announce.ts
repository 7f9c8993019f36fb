/**
 * Tells a segment, unasked, which MAC an address has now: neighbours that remember another learn it at once. Sends in the
 * kernel worker, from inside the sandbox; waits for no answer.
 *
 * | ARP announcement    | size | field                              | ICMPv6 neighbour advertisement | size |
 * |---------------------|-----:|------------------------------------|--------------------------------|-----:|
 * | Ethernet            |   14 | to ff:ff:ff:ff:ff:ff, type 0x0806  | Ethernet, to 33:33:00:00:00:01 |   14 |
 * | ARP header          |    8 | Ethernet, IPv4, request            | IPv6, to ff02::1, hop limit 255 |  40 |
 * | sender MAC, address |   10 | the link's                         | type 136, code, checksum       |    4 |
 * | target MAC, address |   10 | zero, the same address             | flags: override                |    4 |
 * |                     |      |                                    | target address                 |   16 |
 * |                     |      |                                    | option 2: the link's MAC       |    8 |
 *
 * @see RFC 5227 §2.3 (announcing), RFC 4861 §4.4, §7.2.6 (unsolicited advertisements); packet(7)
 */
import { KernelError } from '../core/errors.ts';
import { ipToHex, parseIp } from '../core/ip.ts';
import { EPERM, kernelError } from './rtnetlink/errno.ts';
import { bind, closeBehind, sendto, setsockopt, socket } from './rtnetlink/libc.ts';
import { actIn } from './rtnetlink/namespace.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { mac } from './rtnetlink/wire.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** All nodes of the link: ff02::1, and the group MAC that it maps to. */
const ALL_NODES = 'ff020000000000000000000000000001';
const ALL_NODES_MAC = '33:33:00:00:00:01';
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;
const OVERRIDE = 0x2000_0000;
const TARGET_LINK_LAYER_ADDRESS = 2;

export interface AnnounceSpec {
  /** Of the sandbox. */
  readonly namespacePath: string;
  readonly linkIndex: number;
  readonly macAddress: string;
  /** Without prefix length, of either family. */
  readonly addresses: readonly string[];
}

/** @returns false if the sandbox is gone. @throws KernelError, e.g. EPERM without CAP_NET_RAW, ENETDOWN */
export function announce({ namespacePath, linkIndex, macAddress, addresses }: AnnounceSpec): boolean {
  const done = actIn(namespacePath, () => {
    // Protocol 0: it sends and hears nothing.
    const fd = packetSocket();
    try {
      // Past the queues and filters of the link: an ARP responder there must not swallow it.
      const on = Buffer.alloc(4);
      on.writeInt32LE(1, 0);
      setsockopt(fd, uapi.SOL_PACKET, uapi.PACKET_QDISC_BYPASS, on);
      bind(fd, sockaddrLl(linkIndex, 0));
      for (const address of addresses) {
        const { family } = parseIp(address);
        const frame =
          family === 4 ? arpAnnouncement(macAddress, address) : neighbourAdvertisement(macAddress, address);
        const protocol = family === 4 ? uapi.ETH_P_ARP : uapi.ETH_P_IPV6;
        sendto(fd, frame, sockaddrLl(linkIndex, protocol), `announce ${address}`);
      }
      return true;
    } finally {
      closeBehind(fd);
    }
  });
  return done !== undefined;
}

function packetSocket(): number {
  try {
    return socket(uapi.AF_PACKET, uapi.SOCK_RAW | uapi.SOCK_CLOEXEC, 0);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== EPERM) throw error;
    throw kernelError(
      'open a packet socket',
      EPERM,
      undefined,
      'the daemon needs the capability CAP_NET_RAW',
    );
  }
}

/** The frame that announces an IPv4 address. */
export function arpAnnouncement(macAddress: string, address: string): Buffer {
  const own = Buffer.from(ipToHex(parseIp(address)), 'hex');
  const header = Buffer.alloc(8);
  header.writeUInt16BE(uapi.ARPHRD_ETHER, 0);
  header.writeUInt16BE(uapi.ETH_P_IP, 2);
  header.writeUInt8(6, 4);
  header.writeUInt8(4, 5);
  header.writeUInt16BE(uapi.ARPOP_REQUEST, 6);
  return Buffer.concat([
    ethernet(BROADCAST, macAddress, uapi.ETH_P_ARP),
    header,
    mac(macAddress),
    own,
    Buffer.alloc(6),
    own,
  ]);
}

/** The frame that announces an IPv6 address. */
export function neighbourAdvertisement(macAddress: string, address: string): Buffer {
  const own = Buffer.from(ipToHex(parseIp(address)), 'hex');
  const all = Buffer.from(ALL_NODES, 'hex');
  const message = Buffer.alloc(32);
  message.writeUInt8(NEIGHBOUR_ADVERTISEMENT, 0);
  message.writeUInt32BE(OVERRIDE, 4);
  own.copy(message, 8);
  message.writeUInt8(TARGET_LINK_LAYER_ADDRESS, 24);
  // In units of 8 bytes.
  message.writeUInt8(1, 25);
  mac(macAddress).copy(message, 26);

  const pseudoHeader = Buffer.alloc(40);
  own.copy(pseudoHeader, 0);
  all.copy(pseudoHeader, 16);
  pseudoHeader.writeUInt32BE(message.length, 32);
  pseudoHeader.writeUInt8(ICMPV6, 39);
  message.writeUInt16BE(checksum(Buffer.concat([pseudoHeader, message])), 2);

  const ipv6 = Buffer.alloc(8);
  ipv6.writeUInt8(0x60, 0);
  ipv6.writeUInt16BE(message.length, 4);
  ipv6.writeUInt8(ICMPV6, 6);
  ipv6.writeUInt8(255, 7);
  return Buffer.concat([ethernet(ALL_NODES_MAC, macAddress, uapi.ETH_P_IPV6), ipv6, own, all, message]);
}

function ethernet(to: string, from: string, protocol: number): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(protocol, 0);
  return Buffer.concat([mac(to), mac(from), type]);
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** struct sockaddr_ll: u16 family, u16 protocol (big-endian), int index; the rest is for hearing. */
function sockaddrLl(linkIndex: number, protocol: number): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(uapi.AF_PACKET, 0);
  address.writeUInt16BE(protocol, 2);
  address.writeInt32LE(linkIndex, 4);
  return address;
}
