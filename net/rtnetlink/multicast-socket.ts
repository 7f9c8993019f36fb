/**
 * A socket that hears what the kernel tells of all network namespaces that have an id in the socket's own: nothing has
 * to be opened inside them, so nothing keeps them alive. Must not know what a message means.
 *
 * INVARIANTS: receiving never waits (`poll` does); messages that were lost are said to be (`overrun`), once.
 *
 * @see netlink(7) NETLINK_LISTEN_ALL_NSID, NETLINK_ADD_MEMBERSHIP; linux/netlink.h
 */
import { KernelError } from '../../core/errors.ts';
import { EAGAIN, ENOBUFS, EPERM, kernelError } from './errno.ts';
import { attachFilter, bind, close, MessageMemory, recvmsg, setsockopt, socket } from './libc.ts';
import * as uapi from './uapi.ts';
import { type NetlinkMessage, readMessages } from './wire.ts';

/** A notification is one small message; this is room for the largest links (many virtual functions). */
const DATAGRAM_BYTES = 64 * 1024;
const CMSG_HEADER_BYTES = 16;

export interface MulticastOptions {
  /** RTNLGRP_* */
  readonly groups: readonly number[];
  /** What the kernel keeps for us, its own overhead (about 1 KiB a message) included. */
  readonly receiveBufferBytes: number;
  /** A classic BPF program over the message, if not all of them are wanted. */
  readonly filter?: Buffer;
}

/** What came with one datagram. */
export interface Notification {
  /** The namespace it is about; undefined: the socket's own. */
  readonly nsid: number | undefined;
  /** Their memory is used again by the next `receive`. */
  readonly messages: readonly NetlinkMessage[];
}

export class MulticastSocket {
  /** For `poll`. */
  readonly fd: number;
  readonly #memory = new MessageMemory(DATAGRAM_BYTES);

  /** Opens it in the network namespace of the calling thread. @throws KernelError EPERM without CAP_NET_BROADCAST */
  constructor({ groups, receiveBufferBytes, filter }: MulticastOptions) {
    this.fd = socket(uapi.AF_NETLINK, uapi.SOCK_RAW | uapi.SOCK_CLOEXEC, uapi.NETLINK_ROUTE);
    try {
      if (filter !== undefined) attachFilter(this.fd, filter);
      setsockopt(this.fd, uapi.SOL_SOCKET, uapi.SO_RCVBUFFORCE, int32(receiveBufferBytes));
      listenEverywhere(this.fd);
      const address = Buffer.alloc(12);
      address.writeUInt16LE(uapi.AF_NETLINK, 0);
      bind(this.fd, address);
      for (const group of groups) {
        setsockopt(this.fd, uapi.SOL_NETLINK, uapi.NETLINK_ADD_MEMBERSHIP, int32(group));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    close(this.fd);
  }

  /** @returns `empty`: nothing waits; `overrun`: messages were lost. @throws KernelError for anything else */
  receive(): Notification | 'empty' | 'overrun' {
    let length: number;
    try {
      length = recvmsg(this.fd, this.#memory, uapi.MSG_DONTWAIT | uapi.MSG_TRUNC, 'hear link events');
    } catch (error) {
      if (error instanceof KernelError && error.errno === EAGAIN) return 'empty';
      if (error instanceof KernelError && error.errno === ENOBUFS) return 'overrun';
      throw error;
    }
    if (length > this.#memory.data.length) return 'overrun';
    return { nsid: this.#nsid(), messages: readMessages(this.#memory.data.subarray(0, length)) };
  }

  /** struct cmsghdr of 64-bit machines: size_t length, int level, int type; then an int. */
  #nsid(): number | undefined {
    const { control, controlBytes } = this.#memory;
    if (controlBytes < CMSG_HEADER_BYTES + 4) return undefined;
    const isNsid =
      control.readInt32LE(8) === uapi.SOL_NETLINK && control.readInt32LE(12) === uapi.NETLINK_LISTEN_ALL_NSID;
    return isNsid ? control.readInt32LE(CMSG_HEADER_BYTES) : undefined;
  }
}

function listenEverywhere(fd: number): void {
  try {
    setsockopt(fd, uapi.SOL_NETLINK, uapi.NETLINK_LISTEN_ALL_NSID, int32(1));
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== EPERM) throw error;
    const remedy = 'the daemon needs the capability CAP_NET_BROADCAST';
    throw kernelError('listen to the events of all network namespaces', EPERM, undefined, remedy);
  }
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value, 0);
  return bytes;
}
