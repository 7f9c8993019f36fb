/**
 * A program: pings many addresses at once from one raw socket until its stdin ends, then prints the counts as JSON.
 * `many-pings.js '[["10.77.16.1",10],…]'`: addresses, each with its interval in ms.
 *
 * Why not one `ping` for each: a raw ICMP socket gets a copy of every answer that reaches its namespace, and busybox'
 * ping has room for about twenty. With ten of them one that is not scheduled for 20 ms loses answers that came.
 * Here there is one socket, with room for seconds. A late timer sends later, never a burst.
 *
 * @see RFC 792 p. 14 (echo); icmp(7) ICMP_FILTER; socket(7) SO_RCVBUFFORCE
 */
import { bind, recv, sendto, setsockopt, socket } from '../../net/rtnetlink/libc.ts';

export interface Count {
  readonly ip: string;
  readonly sent: number;
  readonly lost: number;
  /** Longest run of lost packets times the interval. */
  readonly longestGapMs: number;
}

const AF_INET = 2;
const SOCK_RAW = 3;
const IPPROTO_ICMP = 1;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const MSG_DONTWAIT = 0x40;
const ECHO = 8;
const ECHO_REPLY = 0;
const ROOM_BYTES = 16 * 1024 * 1024;
/** How long answers may take after the last packet. */
const UNDER_WAY_MS = 1000;

interface Target {
  readonly ip: string;
  readonly intervalMs: number;
  readonly address: Buffer;
  readonly answered: boolean[];
  nextAt: number;
}

function addressOf(ip: string): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  for (const [index, byte] of ip.split('.').entries()) address.writeUInt8(Number(byte), 4 + index);
  return address;
}

function open(): number {
  const fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    return bytes;
  };
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, number(ROOM_BYTES));
  setsockopt(fd, SOL_RAW, ICMP_FILTER, number(~(1 << ECHO_REPLY)));
  bind(fd, addressOf('0.0.0.0'));
  return fd;
}

/** @see RFC 1071 */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function count({ ip, intervalMs, answered }: Target): Count {
  let gap = 0;
  let longest = 0;
  for (const one of answered) {
    gap = one ? 0 : gap + 1;
    longest = Math.max(longest, gap);
  }
  const lost = answered.filter((one) => !one).length;
  return { ip, sent: answered.length, lost, longestGapMs: longest * intervalMs };
}

function main(list: readonly (readonly [string, number])[]): void {
  const fd = open();
  const identity = process.pid & 0xffff;
  const targets = list.map(
    ([ip, intervalMs]): Target => ({ ip, intervalMs, address: addressOf(ip), answered: [], nextAt: 0 }),
  );
  const packet = Buffer.alloc(64);
  const answer = Buffer.alloc(1500);

  const send = (target: Target, index: number): void => {
    packet.fill(0);
    packet.writeUInt8(ECHO, 0);
    packet.writeUInt16BE(identity, 4);
    packet.writeUInt16BE(target.answered.length & 0xffff, 6);
    packet.writeUInt32BE(index, 8);
    packet.writeUInt32BE(target.answered.length, 12);
    packet.writeUInt16BE(checksum(packet), 2);
    target.answered.push(false);
    try {
      sendto(fd, packet, target.address, 'send an echo request');
    } catch {
      // no neighbour answers for it: not answered, so lost
    }
  };
  const receive = (): void => {
    for (;;) {
      try {
        recv(fd, answer, MSG_DONTWAIT, 'receive an echo reply');
      } catch {
        return; // no more for now
      }
      const at = (answer.readUInt8(0) & 0x0f) * 4;
      if (answer.readUInt8(at) !== ECHO_REPLY || answer.readUInt16BE(at + 4) !== identity) continue;
      const target = targets[answer.readUInt32BE(at + 8)];
      const sequence = answer.readUInt32BE(at + 12);
      if (target !== undefined && sequence < target.answered.length) target.answered[sequence] = true;
    }
  };
  const turn = (): void => {
    receive();
    const now = performance.now();
    for (const [index, target] of targets.entries()) {
      if (now < target.nextAt) continue;
      send(target, index);
      target.nextAt = Math.max(target.nextAt + target.intervalMs, now + target.intervalMs / 2);
    }
  };

  const timer = setInterval(turn, 2);
  process.stdin.on('end', () => {
    clearInterval(timer);
    const end = performance.now() + UNDER_WAY_MS;
    const finish = (): void => {
      receive();
      if (performance.now() < end && targets.some(({ answered }) => answered.includes(false))) {
        setTimeout(finish, 10);
      } else {
        process.stdout.write(`${JSON.stringify(targets.map(count))}\n`);
      }
    };
    finish();
  });
  process.stdin.resume();
  process.stdout.write('pinging\n');
}

main(JSON.parse(process.argv[2] ?? '[]') as [string, number][]);
