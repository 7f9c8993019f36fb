/**
 * RTM_*NEIGH messages: many requests written into one buffer that is used again, and answers read in place, for tables
 * of 65,000 entries. No socket, no policy, no object for an entry.
 *
 * | ndmsg | offset | size | field                                                       |
 * |-------|-------:|-----:|-------------------------------------------------------------|
 * |       |      0 |    1 | ndm_family (AF_INET, AF_INET6)                              |
 * |       |      4 |    4 | ndm_ifindex                                                 |
 * |       |      8 |    2 | ndm_state (NUD_*)                                           |
 * |       |     10 |    1 | ndm_flags (NTF_*)                                           |
 * |       |     11 |    1 | ndm_type                                                    |
 * |       |     12 |    … | attributes NDA_*; addresses in network byte order           |
 *
 * Entries of ours bear NDA_PROTOCOL, which the kernel keeps and does not use; kernels before 5.0 drop it.
 * @see linux/neighbour.h struct ndmsg, rtnetlink(7)
 */
import { formatIp, type IpFamily } from '../../core/ip.ts';
import type { NeighbourRun } from '../neighbour-plan.ts';
import * as uapi from './uapi.ts';
import { align, attribute, MESSAGE_HEADER_BYTES, message, u32 } from './wire.ts';

const NDMSG_BYTES = 12;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTES_AT = MESSAGE_HEADER_BYTES + NDMSG_BYTES;
/** Larger system calls are hardly faster, and need more than the default SO_SNDBUF. */
export const BATCH_BYTES = 64 * 1024;

/** NDA_PROTOCOL of entries that we made: `L`; linux/rtnetlink.h RTPROT_* has nobody of that number. */
export const NEIGHBOUR_MARK = 0x4c;

export type NeighbourVerb = 'replace' | 'delete';

/** What does not change from one message of a batch to the next. */
interface Form {
  readonly verb: NeighbourVerb;
  readonly linkIndex: number;
  readonly family: IpFamily;
  readonly upper: string;
}

/**
 * Requests about many neighbours in one buffer. The messages of a batch are numbered from 1 and only the last asks for
 * an acknowledgement, so the kernel answers that one and those that it refuses.
 */
export class NeighbourBatch {
  readonly #bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, BATCH_BYTES);
  #form: Form = { verb: 'replace', linkIndex: 0, family: 4, upper: '' };
  #messageBytes = 0;
  #addressAt = 0;
  #count = 0;

  /** Number of messages written. */
  get count(): number {
    return this.#count;
  }

  /**
   * Writes a request for each address of a run from `first` on, as many as there is room for.
   * @returns how many; 0 if the batch must be taken first, for it is full or has other messages than these
   */
  add(verb: NeighbourVerb, linkIndex: number, run: NeighbourRun, first: number): number {
    if (!this.#isOf(verb, linkIndex, run)) {
      if (this.#count > 0) return 0;
      this.#prepare({ verb, linkIndex, family: run.family, upper: run.upper });
    }
    const view = this.#view;
    const stride = this.#messageBytes;
    const room = Math.floor(BATCH_BYTES / stride) - this.#count;
    const added = Math.min(run.last - first + 1, room);
    const { macHead, macXor } = run;
    let at = this.#count * stride + this.#addressAt;
    if (verb === 'delete') {
      for (let i = 0; i < added; i++, at += stride) view.setUint32(at, first + i);
    } else {
      for (let i = 0; i < added; i++, at += stride) {
        const low = first + i;
        view.setUint32(at, low);
        view.setUint16(at + 4 + ATTRIBUTE_HEADER_BYTES, macHead);
        view.setUint32(at + 6 + ATTRIBUTE_HEADER_BYTES, low ^ macXor);
      }
    }
    this.#count += added;
    return added;
  }

  /** Hands `send` the messages of the batch, of which there must be one, and begins a new one. */
  take<T>(send: (bytes: Buffer, count: number) => T): T {
    const count = this.#count;
    const flagsAt = (count - 1) * this.#messageBytes + 6;
    const flags = this.#bytes.readUInt16LE(flagsAt);
    this.#bytes.writeUInt16LE(flags | uapi.NLM_F_ACK, flagsAt);
    try {
      return send(this.#bytes.subarray(0, count * this.#messageBytes), count);
    } finally {
      this.#bytes.writeUInt16LE(flags, flagsAt);
      this.#count = 0;
    }
  }

  /** The address of a message of the batch, as text. @param index from 0 */
  addressOf(index: number): string {
    const { family, upper } = this.#form;
    const low = BigInt(this.#view.getUint32(index * this.#messageBytes + this.#addressAt));
    return formatIp({ family, value: family === 4 ? low : (BigInt(`0x${upper}`) << 32n) | low });
  }

  #isOf(verb: NeighbourVerb, linkIndex: number, run: NeighbourRun): boolean {
    const form = this.#form;
    return (
      this.#messageBytes > 0 &&
      form.verb === verb &&
      form.linkIndex === linkIndex &&
      form.family === run.family &&
      form.upper === run.upper
    );
  }

  /** Fills the whole buffer with what all messages of a form have in common. */
  #prepare(form: Form): void {
    const one = form.verb === 'replace' ? replaceForm(form) : deleteForm(form);
    const end = Math.floor(BATCH_BYTES / one.length) * one.length;
    this.#form = form;
    this.#messageBytes = one.length;
    this.#addressAt = ATTRIBUTES_AT + ATTRIBUTE_HEADER_BYTES + (form.family === 4 ? 0 : 12);
    this.#bytes.fill(one, 0, end);
    for (let at = 0, sequence = 1; at < end; at += one.length, sequence++) {
      this.#bytes.writeUInt32LE(sequence, at + 8);
    }
  }
}

function replaceForm(form: Form): Buffer {
  const mac = attribute(uapi.NDA_LLADDR, Buffer.alloc(6));
  const mark = attribute(uapi.NDA_PROTOCOL, Buffer.from([NEIGHBOUR_MARK]));
  const flags = uapi.NLM_F_REQUEST | uapi.NLM_F_CREATE | uapi.NLM_F_REPLACE;
  const payload = [ndmsg(form, uapi.NUD_PERMANENT), destination(form), mac, mark];
  return message(uapi.RTM_NEWNEIGH, flags, 0, Buffer.concat(payload));
}

function deleteForm(form: Form): Buffer {
  const payload = Buffer.concat([ndmsg(form, 0), destination(form)]);
  return message(uapi.RTM_DELNEIGH, uapi.NLM_F_REQUEST, 0, payload);
}

/** Payload of an RTM_GETNEIGH for the first address of a run (kernels since 5.0). */
export function neighbourGetPayload(linkIndex: number, run: NeighbourRun): Buffer {
  const form = { linkIndex, family: run.family, upper: run.upper };
  const address = destination(form);
  address.writeUInt32BE(run.first, address.length - 4);
  return Buffer.concat([ndmsg(form, 0), address]);
}

/** Payload of an RTM_GETNEIGH dump of one link; older kernels take no notice of the link and dump all. */
export function neighbourDumpPayload(linkIndex: number): Buffer {
  return Buffer.concat([Buffer.alloc(NDMSG_BYTES), attribute(uapi.NDA_IFINDEX, u32(linkIndex))]);
}

/** One neighbour as the kernel has it; the same object for every entry, valid inside the callback only. */
export interface NeighbourEntry {
  linkIndex: number;
  family: IpFamily;
  /** Where the 16 (4) bytes of the address are in `bytes`. */
  addressAt: number;
  /** The low 32 bits of the address. */
  low: number;
  permanent: boolean;
  ours: boolean;
  /** First two bytes of the MAC; -1 if there is none of six bytes. */
  macHead: number;
  /** The other four. */
  macTail: number;
  bytes: Buffer;
}

const entry: NeighbourEntry = {
  linkIndex: 0,
  family: 4,
  addressAt: 0,
  low: 0,
  permanent: false,
  ours: false,
  macHead: -1,
  macTail: 0,
  bytes: Buffer.alloc(0),
};

/**
 * Reads an RTM_NEWNEIGH whose payload is at `at` of `bytes` and ends before `end`. Never reads further.
 * @returns undefined if it is no IPv4 or IPv6 neighbour with an address
 */
export function readNeighbour(bytes: Buffer, at: number, end: number): NeighbourEntry | undefined {
  if (at + NDMSG_BYTES > end) return undefined;
  const family = bytes[at];
  if (family !== uapi.AF_INET && family !== uapi.AF_INET6) return undefined;
  const addressBytes = family === uapi.AF_INET ? 4 : 16;
  entry.family = family === uapi.AF_INET ? 4 : 6;
  entry.bytes = bytes;
  entry.linkIndex = bytes.readInt32LE(at + 4);
  entry.permanent = (bytes.readUInt16LE(at + 8) & uapi.NUD_PERMANENT) !== 0;
  entry.ours = false;
  entry.macHead = -1;
  entry.addressAt = -1;
  for (let next = at + NDMSG_BYTES; next + ATTRIBUTE_HEADER_BYTES <= end; ) {
    const length = bytes.readUInt16LE(next);
    if (length < ATTRIBUTE_HEADER_BYTES || next + length > end) break;
    const valueAt = next + ATTRIBUTE_HEADER_BYTES;
    const valueBytes = length - ATTRIBUTE_HEADER_BYTES;
    const type = bytes.readUInt16LE(next + 2) & uapi.NLA_TYPE_MASK;
    if (type === uapi.NDA_DST && valueBytes >= addressBytes) {
      entry.addressAt = valueAt;
      entry.low = bytes.readUInt32BE(valueAt + addressBytes - 4);
    } else if (type === uapi.NDA_LLADDR && valueBytes === 6) {
      entry.macHead = bytes.readUInt16BE(valueAt);
      entry.macTail = bytes.readUInt32BE(valueAt + 2);
    } else if (type === uapi.NDA_PROTOCOL && valueBytes >= 1) {
      entry.ours = bytes[valueAt] === NEIGHBOUR_MARK;
    }
    next += align(length);
  }
  return entry.addressAt < 0 ? undefined : entry;
}

/** The upper 96 bits of an entry's address, as in `NeighbourRun`. */
export function upperOf({ family, bytes, addressAt }: NeighbourEntry): string {
  return family === 4 ? '' : bytes.toString('hex', addressAt, addressAt + 12);
}

/** @returns whether the kernel has a PERMANENT entry for the address with the MAC that the run gives it */
export function standsAs(found: NeighbourEntry, { macHead, macXor }: NeighbourRun): boolean {
  return found.permanent && found.macHead === macHead && found.macTail === (found.low ^ macXor) >>> 0;
}

function destination({ family, upper }: Pick<Form, 'family' | 'upper'>): Buffer {
  return attribute(
    uapi.NDA_DST,
    family === 4 ? Buffer.alloc(4) : Buffer.concat([Buffer.from(upper, 'hex'), Buffer.alloc(4)]),
  );
}

function ndmsg({ family, linkIndex }: Pick<Form, 'family' | 'linkIndex'>, state: number): Buffer {
  const bytes = Buffer.alloc(NDMSG_BYTES);
  bytes.writeUInt8(family === 4 ? uapi.AF_INET : uapi.AF_INET6, 0);
  bytes.writeInt32LE(linkIndex, 4);
  bytes.writeUInt16LE(state, 8);
  return bytes;
}
