/**
 * Options of qdiscs and classes of kind `htb`, and of `bfifo`, and the messages about classes: writes and reads them. No
 * socket, no policy.
 *
 * | tc_htb_opt | offset | size | field                                     |
 * |------------|-------:|-----:|-------------------------------------------|
 * |            |      0 |   12 | rate: what it has for sure                |
 * |            |     12 |   12 | ceil: what it may borrow up to            |
 * |            |     24 |    4 | burst at the rate, as time                |
 * |            |     28 |    4 | burst at the ceil, as time                |
 * |            |     32 |    4 | quantum in bytes: its turn when borrowing |
 * |            |     36 |    4 | level                                     |
 * |            |     40 |    4 | prio                                      |
 *
 * @see linux/pkt_sched.h struct tc_htb_opt, tc_htb_glob; net/sched/sch_htb.c htb_change_class
 */
import {
  bytesPerSecond,
  isTimeOf,
  RATE_SPEC_BYTES,
  rate64,
  rateSpec,
  readRate,
  ticksOf,
} from './rate-spec.ts';
import type { NetlinkRequest } from './socket.ts';
import { attributesOf, readQdisc, tcmsg } from './traffic-control.ts';
import { readStatistics, type TrafficStatistics } from './traffic-statistics.ts';
import * as uapi from './uapi.ts';
import { asU32, attribute, attributeMap, nested, text, u32 } from './wire.ts';

const OPT_BYTES = 44;
/** Bytes that a class sends in its turn: of one large packet, so that turns are fair at any rate. */
const QUANTUM_BYTES = 60_000;

export interface HtbClass {
  readonly linkIndex: number;
  /** Major of the qdisc, and a minor of its own. */
  readonly classId: number;
  /** The qdisc's handle, or another class. */
  readonly parent: number;
  readonly rateBitsPerSecond: number;
  readonly ceilBitsPerSecond: number;
  readonly burstBytes: number;
}

export interface HtbClassInfo {
  readonly linkIndex: number;
  readonly classId: number;
  readonly parent: number;
  readonly rateBytesPerSecond: number;
  readonly ceilBytesPerSecond: number;
  readonly burstTicks: number;
  readonly ceilBurstTicks: number;
  readonly statistics: TrafficStatistics;
}

/** TCA_OPTIONS of a qdisc. @param defaultMinor class of what no filter knows */
export function htbOptions(defaultMinor: number): Buffer {
  const global = Buffer.concat([u32(uapi.TC_HTB_PROTOVER), u32(10), u32(defaultMinor), u32(0), u32(0)]);
  return nested(uapi.TCA_OPTIONS, attribute(uapi.TCA_HTB_INIT, global));
}

/** @param options what stands in TCA_OPTIONS. @returns its default class; undefined if it is no htb */
export function readHtbDefault(options: Buffer | undefined): number | undefined {
  const global = attributeMap(options).get(uapi.TCA_HTB_INIT);
  return global === undefined || global.length < 12 ? undefined : global.readUInt32LE(8);
}

/** TCA_OPTIONS of kind `bfifo`: a bare struct. */
export function bfifoOptions(limitBytes: number): Buffer {
  return attribute(uapi.TCA_OPTIONS, u32(limitBytes));
}

/** @returns the limit in bytes */
export function readBfifo(options: Buffer | undefined): number | undefined {
  return asU32(options);
}

/** RTM_NEWTCLASS that makes the class, or changes the one there is in place. */
export function htbClassSet(spec: HtbClass, operation: string): NetlinkRequest {
  const rate = bytesPerSecond(spec.rateBitsPerSecond);
  const ceil = bytesPerSecond(spec.ceilBitsPerSecond);
  const parameters = Buffer.concat([
    rateSpec(rate),
    rateSpec(ceil),
    u32(ticksOf(spec.burstBytes, rate)),
    u32(ticksOf(spec.burstBytes, ceil)),
    u32(QUANTUM_BYTES),
    u32(0),
    u32(0),
  ]);
  const payload = Buffer.concat([
    tcmsg(spec.linkIndex, spec.classId, spec.parent),
    attribute(uapi.TCA_KIND, text('htb')),
    nested(
      uapi.TCA_OPTIONS,
      attribute(uapi.TCA_HTB_PARMS, parameters),
      rate64(uapi.TCA_HTB_RATE64, rate),
      rate64(uapi.TCA_HTB_CEIL64, ceil),
    ),
  ]);
  return { type: uapi.RTM_NEWTCLASS, flags: uapi.NLM_F_CREATE, payload, operation };
}

/** RTM_DELTCLASS, with what waits in it; EBUSY while a filter names it. */
export function classDelete(linkIndex: number, classId: number, operation: string): NetlinkRequest {
  return { type: uapi.RTM_DELTCLASS, flags: 0, payload: tcmsg(linkIndex, classId, 0), operation };
}

/** RTM_GETTCLASS of all classes of a link, for `RtnetlinkSocket.dump`. */
export function classDump(linkIndex: number, operation: string): NetlinkRequest {
  return { type: uapi.RTM_GETTCLASS, flags: 0, payload: tcmsg(linkIndex, 0, 0), operation };
}

/** @param payload of an RTM_NEWTCLASS message. @returns undefined if it is no class of an htb */
export function readHtbClass(payload: Buffer): HtbClassInfo | undefined {
  // A class has the same head as a qdisc; its id stands in the place of the handle.
  const head = readQdisc(payload);
  if (head?.kind !== 'htb') return undefined;
  const attributes = attributesOf(payload);
  const options = attributeMap(attributes.get(uapi.TCA_OPTIONS));
  const parameters = options.get(uapi.TCA_HTB_PARMS);
  if (parameters === undefined || parameters.length < OPT_BYTES) return undefined;
  return {
    linkIndex: head.linkIndex,
    classId: head.handle,
    parent: head.parent,
    rateBytesPerSecond: readRate(parameters, 0, options.get(uapi.TCA_HTB_RATE64)),
    ceilBytesPerSecond: readRate(parameters, RATE_SPEC_BYTES, options.get(uapi.TCA_HTB_CEIL64)),
    burstTicks: parameters.readUInt32LE(24),
    ceilBurstTicks: parameters.readUInt32LE(28),
    statistics: readStatistics(attributes),
  };
}

/** Is it as `htbClassSet` would make it? */
export function isHtbClassOf(found: HtbClassInfo, spec: HtbClass): boolean {
  const rate = bytesPerSecond(spec.rateBitsPerSecond);
  const ceil = bytesPerSecond(spec.ceilBitsPerSecond);
  return (
    found.parent === spec.parent &&
    found.rateBytesPerSecond === rate &&
    found.ceilBytesPerSecond === ceil &&
    isTimeOf(found.burstTicks, spec.burstBytes, rate) &&
    isTimeOf(found.ceilBurstTicks, spec.burstBytes, ceil)
  );
}
