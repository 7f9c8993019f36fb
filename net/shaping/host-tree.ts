/**
 * The tree that shapes all endpoints of a parent, as it should be: for one side, which is the parent itself for what
 * containers send, or its ifb for what they receive. Pure.
 *
 * | class   | has for sure       | up to       | who                                                              |
 * |---------|--------------------|-------------|------------------------------------------------------------------|
 * | `:1`    | the link           | the link    | all                                                              |
 * | `:fffd` | a tenth            | the link    | the host itself: MACs of the parent and of the host's links upon it, and frames to groups |
 * | `:fffe` | 1 Mbit/s           | 1 Mbit/s    | MACs that nobody knows, all together                             |
 * | `:10` … | its guarantee      | its limit   | an endpoint                                                      |
 *
 * Frames find their class by MAC: a hash table of 256 buckets by its last byte, so that the cost is the same for one
 * endpoint and for 500. Each endpoint's queue is a token bucket, which keeps the delay small; htb divides what is free.
 *
 * @see tc-htb(8); net/sched/cls_u32.c u32_classify
 */
import { shortId } from '../../core/ids.ts';
import type { HtbClass } from '../rtnetlink/htb.ts';
import type { U32Key } from '../rtnetlink/u32-filter.ts';
import type { HostShapedEndpoint, Shape } from '../shaping-port.ts';
import { htbBurstOf } from './root-shaper.ts';

/** "LH": among the handles of ours, whose priorities are cleared. */
export const HOST_HANDLE = 0x4c48_0000;
export const UNKNOWN_MINOR = 0xfffe;
const OWN_MINOR = 0xfffd;
const ALL_MINOR = 1;
export const FIRST_ENDPOINT_MINOR = 0x10;
export const LAST_ENDPOINT_MINOR = 0xf000;
/** The hash table `10:`. */
export const MAC_TABLE = 0x0100_0000;

const UNKNOWN_BITS_PER_SECOND = 1e6;
const OWN_SHARE = 0.1;
/** Of an endpoint without a guarantee, so that it never starves. */
const SMALL_SHARE_BITS_PER_SECOND = 64e3;
const LEAST_QUEUE_BYTES = 140_000;
const QUEUE_SECONDS = 0.025;

/** By which MAC of a frame its endpoint is known. */
export type MacSide = 'source' | 'destination';

export interface Side {
  readonly linkIndex: number;
  readonly mac: MacSide;
  readonly linkBitsPerSecond: number;
}

/** What waits in a class. */
export type Leaf =
  | { readonly kind: 'tbf'; readonly shape: Shape }
  | { readonly kind: 'bfifo'; readonly limitBytes: number };

export interface EndpointClass {
  readonly name: string;
  readonly macAddress: string;
  readonly rateBitsPerSecond: number;
  readonly ceilBitsPerSecond: number;
  readonly leaf: Leaf;
}

/** Everything but the endpoints. */
export function fixedClasses({ linkIndex, linkBitsPerSecond }: Side): { spec: HtbClass; leaf?: Leaf }[] {
  const all = classOf(linkIndex, ALL_MINOR, linkBitsPerSecond, linkBitsPerSecond);
  const own = Math.max(Math.min(UNKNOWN_BITS_PER_SECOND, linkBitsPerSecond), linkBitsPerSecond * OWN_SHARE);
  const unknown = Math.min(UNKNOWN_BITS_PER_SECOND, linkBitsPerSecond);
  return [
    { spec: { ...all, parent: HOST_HANDLE } },
    { spec: classOf(linkIndex, OWN_MINOR, own, linkBitsPerSecond), leaf: queueOf(linkBitsPerSecond) },
    { spec: classOf(linkIndex, UNKNOWN_MINOR, unknown, unknown), leaf: queueOf(unknown) },
  ];
}

export function endpointClass(
  { endpointId, macAddress, plan, minInBitsPerSecond, minOutBitsPerSecond }: HostShapedEndpoint,
  { mac, linkBitsPerSecond }: Side,
): EndpointClass {
  const [shape, least] = mac === 'source' ? [plan.out, minOutBitsPerSecond] : [plan.in, minInBitsPerSecond];
  const ceil = Math.min(shape?.rateBitsPerSecond ?? linkBitsPerSecond, linkBitsPerSecond);
  const sure = least === undefined || least === 0 ? SMALL_SHARE_BITS_PER_SECOND : least;
  return {
    name: shortId(endpointId),
    macAddress: macAddress.toLowerCase(),
    rateBitsPerSecond: Math.min(sure, ceil),
    ceilBitsPerSecond: ceil,
    leaf: shape === undefined ? queueOf(linkBitsPerSecond) : { kind: 'tbf', shape },
  };
}

export function specOf({ linkIndex }: Side, minor: number, wanted: EndpointClass): HtbClass {
  return classOf(linkIndex, minor, wanted.rateBitsPerSecond, wanted.ceilBitsPerSecond);
}

export const OWN_CLASS = (HOST_HANDLE | OWN_MINOR) >>> 0;

/** The two words of the frame that hold a MAC. */
export function macKeys(macAddress: string, mac: MacSide): U32Key[] {
  const bytes = Buffer.from(macAddress.replaceAll(':', ''), 'hex');
  if (mac === 'source') {
    return [
      { at: -8, mask: 0xffff_ffff, value: bytes.readUInt32BE(0) },
      { at: -4, mask: 0xffff_0000, value: (bytes.readUInt16BE(4) << 16) >>> 0 },
    ];
  }
  return [
    { at: -16, mask: 0xffff, value: bytes.readUInt16BE(0) },
    { at: -12, mask: 0xffff_ffff, value: bytes.readUInt32BE(2) },
  ];
}

/** Where the last byte of the MAC is, by which frames find their bucket. */
export function hashKeyOf(mac: MacSide): { readonly mask: number; readonly at: number } {
  return mac === 'source' ? { mask: 0x00ff_0000, at: -4 } : { mask: 0xff, at: -12 };
}

/** Broadcast and multicast. */
export const GROUP_KEYS: readonly U32Key[] = [{ at: -16, mask: 0x100, value: 0x100 }];

export function bucketOf(macAddress: string): number {
  return (MAC_TABLE | (Number.parseInt(macAddress.slice(-2), 16) << 12)) >>> 0;
}

function classOf(linkIndex: number, minor: number, rate: number, ceil: number): HtbClass {
  return {
    linkIndex,
    classId: (HOST_HANDLE | minor) >>> 0,
    parent: (HOST_HANDLE | ALL_MINOR) >>> 0,
    rateBitsPerSecond: Math.floor(rate),
    ceilBitsPerSecond: Math.floor(ceil),
    burstBytes: htbBurstOf(ceil),
  };
}

function queueOf(bitsPerSecond: number): Leaf {
  const limitBytes = Math.max(LEAST_QUEUE_BYTES, Math.ceil((bitsPerSecond / 8) * QUEUE_SECONDS));
  return { kind: 'bfifo', limitBytes: Math.min(limitBytes, 0xffff_ffff) };
}
