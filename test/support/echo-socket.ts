/**
 * A raw socket that sends ICMP echo requests and receives the answers, in the namespace of the calling thread.
 *
 * @see RFC 792 p. 14 (echo), RFC 1071 (checksum); icmp(7) ICMP_FILTER; socket(7) SO_RCVBUFFORCE, SO_RCVTIMEO
 */
import { bind, recv, sendto, setsockopt, socket } from '../../net/rtnetlink/libc.ts';

/** What a request carries and its answer brings back. */
export interface EchoWords {
  readonly first: number;
  readonly second: number;
}

const AF_INET = 2;
const SOCK_RAW = 3;
const IPPROTO_ICMP = 1;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const MSG_DONTWAIT = 0x40;
const ECHO = 8;
const ECHO_REPLY = 0;
const ROOM_BYTES = 16 * 1024 * 1024;

export interface EchoSocketOptions {
  /** Tells the answers to this socket from others, 16 bits. */
  readonly identity: number;
  /** How long `receive` waits for an answer; it does not if absent. */
  readonly waitMs?: number;
}

export class EchoSocket {
  readonly #fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  readonly #identity: number;
  readonly #flags: number;
  readonly #request = Buffer.alloc(64);
  readonly #answer = Buffer.alloc(1500);

  constructor({ identity, waitMs }: EchoSocketOptions) {
    this.#identity = identity & 0xffff;
    this.#flags = waitMs === undefined ? MSG_DONTWAIT : 0;
    setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, word(ROOM_BYTES));
    setsockopt(this.#fd, SOL_RAW, ICMP_FILTER, word(~(1 << ECHO_REPLY)));
    if (waitMs !== undefined) setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeval(waitMs));
    bind(this.#fd, socketAddress('0.0.0.0'));
  }

  /** @param address of `socketAddress` @returns false if the kernel refused it, e.g. because no neighbour answers */
  send(address: Buffer, { first, second }: EchoWords): boolean {
    const packet = this.#request.fill(0);
    packet.writeUInt8(ECHO, 0);
    packet.writeUInt16BE(this.#identity, 4);
    packet.writeUInt16BE(second & 0xffff, 6);
    packet.writeUInt32BE(first, 8);
    packet.writeUInt32BE(second, 12);
    packet.writeUInt16BE(checksum(packet), 2);
    try {
      sendto(this.#fd, packet, address, 'send an echo request');
      return true;
    } catch {
      return false;
    }
  }

  /** The words of the next answer; undefined if there is none (in time). */
  receive(): EchoWords | undefined {
    const answer = this.#answer;
    for (;;) {
      try {
        recv(this.#fd, answer, this.#flags, 'receive an echo reply');
      } catch {
        return undefined;
      }
      const at = (answer.readUInt8(0) & 0x0f) * 4;
      if (answer.readUInt8(at) !== ECHO_REPLY || answer.readUInt16BE(at + 4) !== this.#identity) continue;
      return { first: answer.readUInt32BE(at + 8), second: answer.readUInt32BE(at + 12) };
    }
  }
}

/** `struct sockaddr_in` of an IPv4 address. */
export function socketAddress(ip: string): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  for (const [index, byte] of ip.split('.').entries()) address.writeUInt8(Number(byte), 4 + index);
  return address;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function timeval(ms: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(BigInt(Math.floor(ms / 1000)), 0);
  bytes.writeBigInt64LE(BigInt((ms % 1000) * 1000), 8);
  return bytes;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
