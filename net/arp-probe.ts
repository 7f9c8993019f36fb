/**
 * ARP probes on a link of the daemon's own namespace: what the kernel worker does for `AddressProbe`. A probe is open for
 * longer than one request, so that no request waits for the wire. Must not decide what an answer means.
 *
 * | frame    | offset | size | field                                     |
 * |----------|-------:|-----:|-------------------------------------------|
 * | Ethernet |      0 |    6 | destination: broadcast                    |
 * |          |      6 |    6 | source: the link's MAC                    |
 * |          |     12 |    2 | 0x0806                                    |
 * | ARP      |     14 |    8 | 1, 0x0800, 6, 4, operation 1 = request    |
 * |          |     22 |    6 | sender MAC                                |
 * |          |     28 |    4 | sender address: 0 in a probe              |
 * |          |     32 |    6 | target MAC: 0                             |
 * |          |     38 |    4 | target address: the one that is asked for |
 *
 * @see RFC 826; RFC 5227 §2.1.1; packet(7); linux/filter.h SKF_AD_VLAN_TAG_PRESENT
 */
import { InvalidRequest, NotFound } from '../core/errors.ts';
import { linkGet } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import { attachFilter, bind, close, closeBehind, poll, recv, sendto, socket } from './rtnetlink/libc.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import { AF_PACKET, ETH_P_ALL, ETH_P_ARP, MSG_TRUNC, SOCK_CLOEXEC, SOCK_RAW } from './rtnetlink/uapi.ts';

export interface ArpProbeSpec {
  /** Name of an Ethernet link. */
  readonly link: string;
  /** The IPv4 address as a number. */
  readonly address: number;
}

export interface ArpProbeOperations {
  /** Opens a probe. @returns its id */
  readonly arpProbeOpen: Operation<ArpProbeSpec, number>;
  /** Sends the question (once more). */
  readonly arpProbeAsk: Operation<number, undefined>;
  /** The MAC of who has said meanwhile that the address is his; undefined: nobody. Never waits. */
  readonly arpProbeLook: Operation<number, string | undefined>;
  /** Idempotent. */
  readonly arpProbeClose: Operation<number, undefined>;
}

interface OpenProbe {
  readonly fd: number;
  readonly address: number;
  readonly frame: Buffer;
  readonly to: Buffer;
}

const FRAME_BYTES = 42;
/** Read at once; a flood of ARP must not hold the worker. */
const MOST_FRAMES = 64;
/**
 * ARP without a VLAN tag: the frames of other VLANs pass on the lower link, too, and may name the same address. All frames
 * of the link go through it, because a socket for ARP alone is asked after a bridge has taken them, and after their tags
 * have gone. Loads protocol, leaves unless 0x0806; loads vlan_tag_present, leaves unless 0; takes all of the frame.
 */
const UNTAGGED_ARP = Buffer.from(
  [
    '2800000000f0ffff',
    '1500000306080000',
    '2000000030f0ffff',
    '1500000100000000',
    '0600000000000400',
    '0600000000000000',
  ].join(''),
  'hex',
);

const open = new Map<number, OpenProbe>();
const received = Buffer.allocUnsafeSlow(2048);
let lastId = 0;

export const arpProbeHandlers: Handlers<ArpProbeOperations> = {
  arpProbeOpen: (spec) => probeOpen(spec),
  arpProbeAsk: (id) => {
    const probe = open.get(id);
    if (probe !== undefined) sendto(probe.fd, probe.frame, probe.to, 'send an ARP probe');
    return undefined;
  },
  arpProbeLook: (id) => {
    const probe = open.get(id);
    return probe === undefined ? undefined : probeLook(probe);
  },
  arpProbeClose: (id) => {
    const probe = open.get(id);
    open.delete(id);
    if (probe !== undefined) closeBehind(probe.fd);
    return undefined;
  },
};

function probeOpen({ link: name, address }: ArpProbeSpec): number {
  const link = withSocketHere((netlink) => linkGet(netlink, name));
  if (link === undefined) throw new NotFound(`link "${name}" does not exist: see ip link`);
  if (link.macAddress === undefined)
    throw new InvalidRequest(`link "${name}" has no MAC: ARP does not work there`);
  const source = Buffer.from(link.macAddress.replaceAll(':', ''), 'hex');
  // Protocol 0 until it is bound: it would hear all links before.
  const fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  try {
    attachFilter(fd, UNTAGGED_ARP);
    bind(fd, sockaddrLl(link.linkIndex, ETH_P_ALL));
  } catch (error) {
    close(fd);
    throw error;
  }
  lastId += 1;
  const to = sockaddrLl(link.linkIndex, ETH_P_ARP);
  open.set(lastId, { fd, address, frame: probeFrame(source, address), to });
  return lastId;
}

/** Who says "this address is mine", in an answer, a question or an announcement. */
function probeLook({ fd, address }: OpenProbe): string | undefined {
  for (let frames = 0; frames < MOST_FRAMES && poll([fd], 0); frames++) {
    const length = recv(fd, received, MSG_TRUNC, 'read ARP');
    if (length < FRAME_BYTES || received.readUInt16BE(12) !== ETH_P_ARP) continue;
    if (received.readUInt32BE(28) === address) return macText(received.subarray(22, 28));
  }
  return undefined;
}

function probeFrame(source: Buffer, address: number): Buffer {
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.fill(0xff, 0, 6);
  source.copy(frame, 6);
  frame.writeUInt16BE(ETH_P_ARP, 12);
  frame.write('0001080006040001', 14, 'hex');
  source.copy(frame, 22);
  frame.writeUInt32BE(address, 38);
  return frame;
}

/** struct sockaddr_ll (linux/if_packet.h): family, protocol (big-endian), index; 20 bytes in all. */
function sockaddrLl(linkIndex: number, protocol: number): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(protocol, 2);
  address.writeInt32LE(linkIndex, 4);
  address.writeUInt8(6, 11);
  address.fill(0xff, 12, 18);
  return address;
}

function macText(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
