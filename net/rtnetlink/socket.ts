/**
 * A synchronous rtnetlink client. rtnetlink does all its work inside sendmsg(2), so the answer waits in the socket
 * when sendto returns and a plain recv gets it without any event loop; a time limit on recv guards against kernels
 * that prove this wrong. Must run in the kernel worker thread only: some requests block for tens of milliseconds.
 *
 * INVARIANTS: one request at a time (everything is synchronous); a socket belongs to the namespace it was opened in
 * and keeps that namespace alive until `close`; after a failure other than a refusal the socket must be closed.
 *
 * @see linux/netlink.h NLMSG_ERROR, NETLINK_EXT_ACK; Documentation/userspace-api/netlink/intro.rst
 */
import type { KernelError } from '../../core/errors.ts';
import { EINTR, EMSGSIZE, kernelError } from './errno.ts';
import { bind, close, recv, sendto, setsockopt, socket } from './libc.ts';
import * as uapi from './uapi.ts';
import {
  asText,
  attributeMap,
  MESSAGE_HEADER_BYTES,
  message,
  type NetlinkMessage,
  readMessages,
} from './wire.ts';

/** Above the 32 KiB that the kernel puts into one datagram of a dump. */
const RECEIVE_BUFFER_BYTES = 256 * 1024;
const RECEIVE_TIMEOUT_SECONDS = 10;
const DUMP_TRIES = 10;

export interface NetlinkRequest {
  /** RTM_* */
  readonly type: number;
  /** NLM_F_CREATE and such; REQUEST, ACK and DUMP are added here. */
  readonly flags: number;
  readonly payload: Buffer;
  /** What is asked, for the error text: `create macvlan link "ln0" on "eth0"`. */
  readonly operation: string;
}

/** How the kernel ended one request. */
interface Verdict {
  /** 0 = done. */
  readonly errno: number;
  readonly kernelText?: string;
}

export class RtnetlinkSocket {
  readonly #fd: number;
  readonly #kernelAddress = sockaddrNl();
  readonly #buffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
  #sequence = 0;

  /** Opens a socket in the network namespace of the calling thread. @throws KernelError */
  constructor() {
    this.#fd = socket(uapi.AF_NETLINK, uapi.SOCK_RAW | uapi.SOCK_CLOEXEC, uapi.NETLINK_ROUTE);
    try {
      const on = int32(1);
      setsockopt(this.#fd, uapi.SOL_NETLINK, uapi.NETLINK_EXT_ACK, on);
      setsockopt(this.#fd, uapi.SOL_NETLINK, uapi.NETLINK_CAP_ACK, on);
      setsockopt(this.#fd, uapi.SOL_SOCKET, uapi.SO_RCVTIMEO, timeval(RECEIVE_TIMEOUT_SECONDS));
      bind(this.#fd, sockaddrNl());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Lets the namespace go. */
  close(): void {
    close(this.#fd);
  }

  /**
   * Does one request and waits for its acknowledgement.
   * @returns the messages that came before it (a GET's answer)
   * @throws KernelError with the kernel's errno and text
   */
  request(request: NetlinkRequest): NetlinkMessage[] {
    const { verdicts, messages } = this.#talk([request], uapi.NLM_F_ACK);
    throwIfRefused(refusal(request, verdicts[0]));
    return messages;
  }

  /**
   * Hands several requests to the kernel in one system call. Each is executed, in order, even if one before it was
   * refused; once it has begun no signal to this process can stop it half way.
   * @returns for each request its refusal, or undefined if it was done
   * @throws KernelError if an answer was lost: any of them may have been done
   */
  batch(requests: readonly NetlinkRequest[]): (KernelError | undefined)[] {
    const { verdicts } = this.#talk(requests, uapi.NLM_F_ACK);
    return requests.map((request, index) => refusal(request, verdicts[index]));
  }

  /**
   * Reads a whole table. A dump during which the table changed (NLM_F_DUMP_INTR) is read again.
   * @throws KernelError EINTR if it changed every time
   */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    for (let tries = 1; tries <= DUMP_TRIES; tries++) {
      const { verdicts, messages, interrupted } = this.#talk([request], uapi.NLM_F_DUMP);
      throwIfRefused(refusal(request, verdicts[0]));
      if (!interrupted) return messages;
    }
    throw kernelError(
      request.operation,
      EINTR,
      undefined,
      `it changed during each of ${DUMP_TRIES} readings`,
    );
  }

  #talk(requests: readonly NetlinkRequest[], flags: number): Conversation {
    const first = this.#sequence + 1;
    this.#sequence += requests.length;
    const bytes = requests.map((request, index) =>
      message(request.type, request.flags | uapi.NLM_F_REQUEST | flags, first + index, request.payload),
    );
    const operation = requests[0]?.operation ?? 'talk to the kernel';
    sendto(this.#fd, Buffer.concat(bytes), this.#kernelAddress, operation);

    const conversation: Conversation = { verdicts: [], messages: [], interrupted: false };
    for (let missing = requests.length; missing > 0; ) {
      for (const answer of this.#receive(operation)) {
        const index = answer.sequence - first;
        if (index < 0 || index >= requests.length) continue;
        if ((answer.flags & uapi.NLM_F_DUMP_INTR) !== 0) conversation.interrupted = true;
        const verdict = verdictOf(answer);
        if (verdict === undefined) {
          conversation.messages.push({ ...answer, payload: Buffer.from(answer.payload) });
        } else if (conversation.verdicts[index] === undefined) {
          conversation.verdicts[index] = verdict;
          missing--;
        }
      }
    }
    return conversation;
  }

  #receive(operation: string): NetlinkMessage[] {
    const length = recv(this.#fd, this.#buffer, uapi.MSG_TRUNC, operation);
    if (length > this.#buffer.length) throw kernelError(operation, EMSGSIZE, `answer of ${length} bytes`);
    return readMessages(this.#buffer.subarray(0, length));
  }
}

interface Conversation {
  readonly verdicts: Verdict[];
  readonly messages: NetlinkMessage[];
  interrupted: boolean;
}

function throwIfRefused(error: KernelError | undefined): void {
  if (error !== undefined) throw error;
}

function refusal(request: NetlinkRequest, verdict: Verdict | undefined): KernelError | undefined {
  if (verdict === undefined || verdict.errno === 0) return undefined;
  return kernelError(request.operation, verdict.errno, verdict.kernelText);
}

/**
 * | NLMSG_ERROR | offset | size | field                                                        |
 * |-------------|-------:|-----:|--------------------------------------------------------------|
 * | nlmsgerr    |      0 |    4 | negative errno, 0 = acknowledged                             |
 * |             |      4 |   16 | header of the request, its payload behind unless NLM_F_CAPPED |
 * |             |      … |    … | NLMSGERR_ATTR_* if NLM_F_ACK_TLVS                            |
 *
 * NLMSG_DONE carries the negative errno in its first 4 bytes, too (kernels since 4.20 may fail a dump that way).
 * @returns undefined for a message that ends nothing
 */
function verdictOf({ type, flags, payload }: NetlinkMessage): Verdict | undefined {
  if (type !== uapi.NLMSG_ERROR && type !== uapi.NLMSG_DONE) return undefined;
  const errno = payload.length >= 4 ? -payload.readInt32LE(0) : 0;
  if ((flags & uapi.NLM_F_ACK_TLVS) === 0) return { errno };
  const kernelText = asText(
    attributeMap(acknowledgementAttributes(type, flags, payload)).get(uapi.NLMSGERR_ATTR_MSG),
  );
  return kernelText === undefined ? { errno } : { errno, kernelText };
}

function acknowledgementAttributes(type: number, flags: number, payload: Buffer): Buffer {
  if (type === uapi.NLMSG_DONE) return payload.subarray(4);
  const capped = (flags & uapi.NLM_F_CAPPED) !== 0 || payload.length < 8;
  const requestBytes = capped ? MESSAGE_HEADER_BYTES : payload.readUInt32LE(4);
  return payload.subarray(4 + ((requestBytes + 3) & ~3));
}

/** struct sockaddr_nl (linux/netlink.h): u16 family, u16 pad, u32 port (0 = the kernel), u32 groups. */
function sockaddrNl(): Buffer {
  const address = Buffer.alloc(12);
  address.writeUInt16LE(uapi.AF_NETLINK, 0);
  return address;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value, 0);
  return bytes;
}

/** struct timeval of 64-bit machines: two longs. */
function timeval(seconds: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(BigInt(seconds), 0);
  return bytes;
}
