/**
 * A program: writes down every ARP frame that reaches a bridge in its namespace, until its stdin ends, then prints
 * them as JSON. A bridge hands each broadcast to itself once, whichever port it came in by, and unicast frames of others
 * not at all; its ports hand ARP to nobody but the bridge. So one socket hears each broadcast of the segment once.
 *
 * @see packet(7); RFC 826 (ARP)
 */
import { recv, setsockopt, socket } from '../../net/rtnetlink/libc.ts';
import type { ArpFrame } from './arp-wire.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
/** ETH_P_ARP in network byte order. */
const ETH_P_ARP = 0x0608;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
const ROOM_BYTES = 16 * 1024 * 1024;
/** Ethernet header and an ARP packet for IPv4. */
const SHORTEST = 14 + 28;

function frameOf(bytes: Buffer): ArpFrame {
  const mac = (at: number): string => bytes.toString('hex', at, at + 6).replace(/..(?=.)/g, '$&:');
  const ip = (at: number): string => [...bytes.subarray(at, at + 4)].join('.');
  return {
    atMs: Date.now(),
    broadcast: mac(0) === 'ff:ff:ff:ff:ff:ff',
    operation: bytes.readUInt16BE(20),
    senderMac: mac(22),
    senderIp: ip(28),
    targetIp: ip(38),
  };
}

const fd = socket(AF_PACKET, SOCK_RAW, ETH_P_ARP);
const room = Buffer.alloc(4);
room.writeUInt32LE(ROOM_BYTES);
setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, room);
const frame = Buffer.alloc(1500);
const frames: ArpFrame[] = [];

function receive(): void {
  for (;;) {
    let length: number;
    try {
      length = recv(fd, frame, MSG_DONTWAIT, 'receive a frame');
    } catch {
      return; // no more for now
    }
    if (length >= SHORTEST) frames.push(frameOf(frame));
  }
}

const timer = setInterval(receive, 5);
process.stdin.on('end', () => {
  clearInterval(timer);
  receive();
  process.stdout.write(`${JSON.stringify(frames)}\n`);
});
process.stdin.resume();
process.stdout.write('capturing\n');
