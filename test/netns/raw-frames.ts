/**
 * A program: `LINK [HEX]…` sends these frames on a link of its namespace, then prints each frame that comes in on it as a
 * line of hex, until its stdin ends. What goes out is not shown.
 *
 * @see packet(7)
 */
import { readFileSync } from 'node:fs';
import { bind, recv, sendto, setsockopt, socket } from '../../net/rtnetlink/libc.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0003;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const MSG_DONTWAIT = 0x40;

const [link = '', ...frames] = process.argv.slice(2);
const linkIndex = Number(readFileSync(`/sys/class/net/${link}/ifindex`, 'utf8'));

/** struct sockaddr_ll (linux/if_packet.h). */
function sockaddrLl(): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(ETH_P_ALL, 2);
  address.writeInt32LE(linkIndex, 4);
  return address;
}

const fd = socket(AF_PACKET, SOCK_RAW, 0);
const on = Buffer.alloc(4);
on.writeInt32LE(1);
setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, on);
bind(fd, sockaddrLl());
for (const frame of frames) {
  const bytes = Buffer.from(frame, 'hex');
  const to = sockaddrLl();
  // What kind of frame the kernel takes it for.
  bytes.copy(to, 2, 12, 14);
  sendto(fd, bytes, to, 'send a frame');
}

const room = Buffer.allocUnsafeSlow(65536);
function receive(): void {
  for (;;) {
    let length: number;
    try {
      length = recv(fd, room, MSG_DONTWAIT, 'receive a frame');
    } catch {
      return; // no more for now
    }
    process.stdout.write(`${room.toString('hex', 0, length)}\n`);
  }
}

const timer = setInterval(receive, 5);
process.stdin.on('end', () => {
  clearInterval(timer);
  receive();
});
process.stdin.resume();
process.stdout.write('ready\n');
