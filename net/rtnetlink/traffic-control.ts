/**
 * RTM_*QDISC and RTM_*TFILTER messages: writes the requests and reads the answers. No socket, no policy.
 *
 * | tcmsg | offset | size | field                                                            |
 * |-------|-------:|-----:|------------------------------------------------------------------|
 * |       |      0 |    1 | tcm_family                                                       |
 * |       |      4 |    4 | tcm_ifindex                                                      |
 * |       |      8 |    4 | tcm_handle                                                       |
 * |       |     12 |    4 | tcm_parent                                                       |
 * |       |     16 |    4 | tcm_info; for filters: priority in the upper half, protocol in the lower, big-endian |
 * |       |     20 |    … | attributes TCA_*                                                 |
 *
 * @see linux/rtnetlink.h struct tcmsg, linux/pkt_sched.h, linux/pkt_cls.h
 */
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { asText, asU32, attribute, attributeMap, nested, text, u32 } from './wire.ts';

const TCMSG_BYTES = 20;

export interface QdiscInfo {
  readonly linkIndex: number;
  readonly handle: number;
  readonly parent: number;
  /** `clsact`, `tbf`, `noqueue` … */
  readonly kind: string;
}

/** Where a filter hangs and in which turn; with the kernel's handle it is one filter. */
export interface FilterPlace {
  readonly linkIndex: number;
  /** A qdisc's handle, or a hook: TC_H_CLSACT_EGRESS. */
  readonly parent: number;
  /** 1–65535; the lower one goes first. */
  readonly priority: number;
  /** ETH_P_*. */
  readonly protocol: number;
  readonly handle: number;
}

/** A filter of kind `bpf` in direct-action mode: what the program returns is what is done. */
export interface BpfFilter extends FilterPlace {
  /** As `tc filter show` prints it. */
  readonly name: string;
  readonly programFd: number;
  /** The program sees the lower 16 bits (__sk_buff.tc_classid). */
  readonly classId: number;
}

export interface FilterInfo extends FilterPlace {
  readonly kind: string;
  /** For kind `bpf`. */
  readonly name?: string;
  readonly programId?: number;
  readonly classId?: number;
}

/** RTM_NEWQDISC; EEXIST if there is one at that parent. For `clsact`, which has no options. */
export function qdiscAdd(qdisc: QdiscInfo, operation: string): NetlinkRequest {
  const payload = qdiscPayload(qdisc);
  return { type: uapi.RTM_NEWQDISC, flags: uapi.NLM_F_CREATE | uapi.NLM_F_EXCL, payload, operation };
}

/**
 * RTM_NEWQDISC that puts a qdisc in the place of the one there is, at once. One of the same handle is changed instead; so a
 * fresh one needs a handle that is not in use on the link.
 * @param options TCA_OPTIONS, whole
 */
export function qdiscReplace(qdisc: QdiscInfo, options: Buffer, operation: string): NetlinkRequest {
  const payload = Buffer.concat([qdiscPayload(qdisc), options]);
  return { type: uapi.RTM_NEWQDISC, flags: uapi.NLM_F_CREATE | uapi.NLM_F_REPLACE, payload, operation };
}

/** RTM_DELQDISC; ENOENT or EINVAL if there is none of that handle. */
export function qdiscDelete(
  { linkIndex, handle, parent }: Omit<QdiscInfo, 'kind'>,
  operation: string,
): NetlinkRequest {
  return { type: uapi.RTM_DELQDISC, flags: 0, payload: tcmsg(linkIndex, handle, parent), operation };
}

/**
 * RTM_GETQDISC of all links of the namespace, for `RtnetlinkSocket.dump`. Not of one: the kernel answers that to everybody
 * who listens for changes, too.
 */
export function qdiscDump(operation: string): NetlinkRequest {
  return { type: uapi.RTM_GETQDISC, flags: 0, payload: tcmsg(0, 0, 0), operation };
}

/** RTM_NEWTFILTER that makes the filter, or puts it in the place of the one with that priority and handle at once. */
export function bpfFilterReplace(filter: BpfFilter, operation: string): NetlinkRequest {
  const payload = Buffer.concat([
    placeOf(filter),
    attribute(uapi.TCA_KIND, text('bpf')),
    nested(
      uapi.TCA_OPTIONS,
      attribute(uapi.TCA_BPF_CLASSID, u32(filter.classId)),
      attribute(uapi.TCA_BPF_FD, u32(filter.programFd)),
      attribute(uapi.TCA_BPF_NAME, text(filter.name)),
      attribute(uapi.TCA_BPF_FLAGS, u32(uapi.TCA_BPF_FLAG_ACT_DIRECT)),
    ),
  ]);
  return { type: uapi.RTM_NEWTFILTER, flags: uapi.NLM_F_CREATE | uapi.NLM_F_REPLACE, payload, operation };
}

/**
 * RTM_NEWTFILTER of any kind, that makes the filter or puts it in the place of the one with that priority and handle.
 * @param options TCA_OPTIONS, whole
 */
export function filterReplace(
  place: FilterPlace,
  kind: string,
  options: Buffer,
  operation: string,
): NetlinkRequest {
  const payload = Buffer.concat([placeOf(place), attribute(uapi.TCA_KIND, text(kind)), options]);
  return { type: uapi.RTM_NEWTFILTER, flags: uapi.NLM_F_CREATE | uapi.NLM_F_REPLACE, payload, operation };
}

/** RTM_DELTFILTER; ENOENT if there is none. */
export function filterDelete(place: FilterPlace, kind: string, operation: string): NetlinkRequest {
  const payload = Buffer.concat([placeOf(place), attribute(uapi.TCA_KIND, text(kind))]);
  return { type: uapi.RTM_DELTFILTER, flags: 0, payload, operation };
}

/** RTM_GETTFILTER of all filters at a parent, for `RtnetlinkSocket.dump`; none if there is no such link or qdisc. */
export function filterDump(linkIndex: number, parent: number, operation: string): NetlinkRequest {
  return { type: uapi.RTM_GETTFILTER, flags: 0, payload: tcmsg(linkIndex, 0, parent), operation };
}

/** @param payload of an RTM_NEWQDISC message. @returns undefined if it is none */
export function readQdisc(payload: Buffer): QdiscInfo | undefined {
  if (payload.length < TCMSG_BYTES) return undefined;
  const kind = asText(attributeMap(payload.subarray(TCMSG_BYTES)).get(uapi.TCA_KIND));
  if (kind === undefined) return undefined;
  return { ...readHead(payload), kind };
}

/** @param payload of an RTM_NEWTFILTER message. @returns undefined if it is none */
export function readFilter(payload: Buffer): FilterInfo | undefined {
  if (payload.length < TCMSG_BYTES) return undefined;
  const attributes = attributeMap(payload.subarray(TCMSG_BYTES));
  const kind = asText(attributes.get(uapi.TCA_KIND));
  if (kind === undefined) return undefined;
  const options = kind === 'bpf' ? attributeMap(attributes.get(uapi.TCA_OPTIONS)) : new Map<number, Buffer>();
  const name = asText(options.get(uapi.TCA_BPF_NAME));
  const programId = asU32(options.get(uapi.TCA_BPF_ID));
  const classId = asU32(options.get(uapi.TCA_BPF_CLASSID));
  return {
    ...readHead(payload),
    priority: payload.readUInt16LE(18),
    protocol: payload.readUInt16BE(16),
    kind,
    ...(name === undefined ? {} : { name }),
    ...(programId === undefined ? {} : { programId }),
    ...(classId === undefined ? {} : { classId }),
  };
}

/** The attributes of a message, by TCA_*. */
export function attributesOf(payload: Buffer): ReadonlyMap<number, Buffer> {
  return attributeMap(payload.subarray(TCMSG_BYTES));
}

function qdiscPayload({ linkIndex, handle, parent, kind }: QdiscInfo): Buffer {
  return Buffer.concat([tcmsg(linkIndex, handle, parent), attribute(uapi.TCA_KIND, text(kind))]);
}

function readHead(payload: Buffer): Omit<QdiscInfo, 'kind'> {
  return {
    linkIndex: payload.readInt32LE(4),
    handle: payload.readUInt32LE(8),
    parent: payload.readUInt32LE(12),
  };
}

function placeOf({ linkIndex, handle, parent, priority, protocol }: FilterPlace): Buffer {
  const bytes = tcmsg(linkIndex, handle, parent);
  bytes.writeUInt16BE(protocol, 16);
  bytes.writeUInt16LE(priority, 18);
  return bytes;
}

/** struct tcmsg without tcm_info. */
export function tcmsg(linkIndex: number, handle: number, parent: number): Buffer {
  const bytes = Buffer.alloc(TCMSG_BYTES);
  bytes.writeInt32LE(linkIndex, 4);
  bytes.writeUInt32LE(handle, 8);
  bytes.writeUInt32LE(parent, 12);
  return bytes;
}
