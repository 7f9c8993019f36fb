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
import { KernelError } from '../../core/errors.ts';
import { EAGAIN, EINTR, EMSGSIZE, ENOBUFS, kernelError } from './errno.ts';
import { bind, close, recv, sendto, setsockopt, socket } from './libc.ts';
import * as uapi from './uapi.ts';
import { type Verdict, verdictOf } from './verdict.ts';
import { align, MESSAGE_HEADER_BYTES, message, type NetlinkMessage, readMessages } from './wire.ts';

/** Above the 32 KiB that the kernel puts into one datagram of a dump. */
const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** All sockets of a thread share it: nothing of it is used after the next receive. */
const receiveBuffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
/** Room for a refusal of every message of one bulk; the kernel counts about 1 KiB for each. */
const BULK_RECEIVE_BYTES = 4 * 1024 * 1024;
const RECEIVE_TIMEOUT_SECONDS = 10;
const DUMP_TRIES = 10;
/** So many answers fit into the buffer that a socket has by itself. */
const FEW_REQUESTS = 64;
/** What the kernel counts for one answer, a refusal with text too. */
const ANSWER_BYTES = 4096;

export interface NetlinkRequest {
  /** RTM_* */
  readonly type: number;
  /** NLM_F_CREATE and such; REQUEST, ACK and DUMP are added here. */
  readonly flags: number;
  readonly payload: Buffer;
  /** What is asked, for the error text: `create macvlan link "ln0" on "eth0"`. */
  readonly operation: string;
}

/** A message of a bulk that was refused. */
export interface BulkRefusal {
  /** Which, from 0; -1 if some refusals were lost (ENOBUFS). */
  readonly index: number;
  readonly errno: number;
  readonly kernelText?: string;
}

export class RtnetlinkSocket {
  readonly #fd: number;
  readonly #kernelAddress = sockaddrNl();
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

  /**
   * Hands messages to the kernel that the caller has encoded, in one system call. They are numbered from 1, and the
   * last of them asks for an acknowledgement, no other does. Each is executed, even if one before it was refused.
   * @param bytes the messages, one behind the other
   * @throws KernelError if they were not taken at all
   */
  bulk(bytes: Buffer, count: number, operation: string): BulkRefusal[] {
    setsockopt(this.#fd, uapi.SOL_SOCKET, uapi.SO_RCVBUFFORCE, int32(BULK_RECEIVE_BYTES));
    sendto(this.#fd, bytes, this.#kernelAddress, operation);
    const refusals: BulkRefusal[] = [];
    let lost = false;
    for (let acknowledged = false; !acknowledged; ) {
      let answers = this.#receiveOr(ENOBUFS, operation);
      if (answers === undefined) {
        // More refusals than there was room for: the acknowledgement may be lost with some of them.
        answers = this.#drain(operation);
        lost = acknowledged = true;
      }
      for (const answer of answers) {
        const index = answer.sequence - 1;
        const verdict = verdictOf(answer);
        if (verdict === undefined) continue;
        if (verdict.errno !== 0) refusals.push({ index, ...verdict });
        if (index === count - 1) acknowledged = true;
      }
    }
    if (lost) refusals.push({ index: -1, errno: ENOBUFS });
    return refusals;
  }

  /** Asks for a whole table; read it with `dumpNext`, and ask for nothing else before its end. */
  dumpStart(request: NetlinkRequest): void {
    const flags = request.flags | uapi.NLM_F_REQUEST | uapi.NLM_F_DUMP;
    const bytes = message(request.type, flags, ++this.#sequence, request.payload);
    sendto(this.#fd, bytes, this.#kernelAddress, request.operation);
  }

  /**
   * Reads the next part of the table, of some hundred entries, in place.
   * @param each is told where the payload of each message is in `bytes`, which are valid inside of it only
   * @returns whether there is more; `interrupted` if the table changed in this part
   * @throws KernelError
   */
  dumpNext(
    request: NetlinkRequest,
    each: (bytes: Buffer, at: number, end: number) => void,
  ): { readonly more: boolean; readonly interrupted: boolean } {
    const length = this.#receiveBytes(0, request.operation);
    let interrupted = false;
    for (let at = 0; at + MESSAGE_HEADER_BYTES <= length; ) {
      const end = at + receiveBuffer.readUInt32LE(at);
      if (end < at + MESSAGE_HEADER_BYTES || end > length) break;
      if ((receiveBuffer.readUInt16LE(at + 6) & uapi.NLM_F_DUMP_INTR) !== 0) interrupted = true;
      const type = receiveBuffer.readUInt16LE(at + 4);
      if (type === uapi.NLMSG_DONE || type === uapi.NLMSG_ERROR) {
        const [last] = readMessages(receiveBuffer.subarray(at, end));
        throwIfRefused(refusal(request, last === undefined ? undefined : verdictOf(last)));
        return { more: false, interrupted };
      }
      each(receiveBuffer, at + MESSAGE_HEADER_BYTES, end);
      at = align(end);
    }
    return { more: true, interrupted };
  }

  #talk(requests: readonly NetlinkRequest[], flags: number): Conversation {
    const first = this.#sequence + 1;
    this.#sequence += requests.length;
    const bytes = requests.map((request, index) =>
      message(request.type, request.flags | uapi.NLM_F_REQUEST | flags, first + index, request.payload),
    );
    const operation = requests[0]?.operation ?? 'talk to the kernel';
    if (requests.length > FEW_REQUESTS) {
      // Every acknowledgement waits in the buffer until all is done.
      const room = int32(requests.length * ANSWER_BYTES);
      setsockopt(this.#fd, uapi.SOL_SOCKET, uapi.SO_RCVBUFFORCE, room);
      setsockopt(this.#fd, uapi.SOL_SOCKET, uapi.SO_SNDBUFFORCE, room);
    }
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

  #receive(operation: string, flags = 0): NetlinkMessage[] {
    return readMessages(receiveBuffer.subarray(0, this.#receiveBytes(flags, operation)));
  }

  #receiveBytes(flags: number, operation: string): number {
    const length = recv(this.#fd, receiveBuffer, uapi.MSG_TRUNC | flags, operation);
    if (length > receiveBuffer.length) throw kernelError(operation, EMSGSIZE, `answer of ${length} bytes`);
    return length;
  }

  /** @returns undefined if it failed with this errno */
  #receiveOr(errno: number, operation: string, flags = 0): NetlinkMessage[] | undefined {
    try {
      return this.#receive(operation, flags);
    } catch (error) {
      if (error instanceof KernelError && error.errno === errno) return undefined;
      throw error;
    }
  }

  /** What is left in the socket. */
  #drain(operation: string): NetlinkMessage[] {
    const answers: NetlinkMessage[] = [];
    for (;;) {
      const more = this.#receiveOr(EAGAIN, operation, uapi.MSG_DONTWAIT);
      if (more === undefined) return answers;
      for (const answer of more) answers.push({ ...answer, payload: Buffer.from(answer.payload) });
    }
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
