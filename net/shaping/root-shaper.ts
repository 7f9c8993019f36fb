/**
 * The shaper at the root of a link: what must be written so that it is as it should be. Pure.
 *
 * htb is for kernels without tbf. It does not break up large packets, so its burst and its queue must hold the largest ones.
 */
import {
  bfifoOptions,
  type HtbClass,
  htbClassSet,
  htbOptions,
  isHtbClassOf,
  readBfifo,
} from '../rtnetlink/htb.ts';
import type { NetlinkRequest } from '../rtnetlink/socket.ts';
import { isTokenBucketOf, readTokenBucket, tokenBucketOptions } from '../rtnetlink/token-bucket.ts';
import { qdiscDelete, qdiscReplace } from '../rtnetlink/traffic-control.ts';
import { TC_H_ROOT } from '../rtnetlink/uapi.ts';
import type { Shape } from '../shaping-port.ts';
import { isOurHandle, leafHandle, majorsOf, nextHandle } from './handles.ts';
import type { QdiscsLook } from './link-look.ts';

/** What is to be written, and what was wrong, for people. */
export interface Step {
  readonly requests: readonly NetlinkRequest[];
  readonly mended?: string;
  /** It makes a filter, for which there must be a clsact. */
  readonly needsHook?: boolean;
}

export interface RootShaper {
  readonly linkIndex: number;
  /** Absent: none of ours. */
  readonly shape?: Shape;
  readonly how: 'tbf' | 'htb';
  /** What waits in it does not move. */
  readonly stuck: boolean;
}

/** The largest packet of segmentation offload, with room for another. */
const HTB_BURST_BYTES = 80_000;
const HTB_QUEUE_BYTES = 140_000;
const HTB_BURST_SECONDS = 0.002;
const HTB_QUEUE_SECONDS = 0.05;
const NOTHING: Step = { requests: [] };

export function rootStep(wanted: RootShaper, standing: QdiscsLook): Step {
  const { shape, linkIndex } = wanted;
  if (shape === undefined) return removal(linkIndex, standing);
  const fault = faultOf(wanted, shape, standing);
  if (fault === undefined) return NOTHING;
  return { requests: replacement(wanted, shape, standing), mended: fault };
}

function removal(linkIndex: number, { root }: QdiscsLook): Step {
  if (root === undefined || !isOurHandle(root.handle)) return NOTHING;
  const { handle } = root;
  const request = qdiscDelete(
    { linkIndex, handle, parent: TC_H_ROOT },
    `remove the shaper of link ${linkIndex}`,
  );
  return { requests: [request], mended: 'the qdisc is removed' };
}

function faultOf(
  { how, stuck, linkIndex }: RootShaper,
  shape: Shape,
  standing: QdiscsLook,
): string | undefined {
  const { root } = standing;
  if (root === undefined) return 'the qdisc was missing';
  if (!isOurHandle(root.handle)) return `a qdisc ${root.kind} of somebody stood in its place`;
  if (root.kind !== how) return `the qdisc was a ${root.kind}`;
  if (stuck) return 'the queue was stuck';
  const same = how === 'tbf' ? isSameBucket(root.options, shape) : isSameHtb(linkIndex, shape, standing);
  return same ? undefined : 'the qdisc had other values';
}

function isSameBucket(options: Buffer | undefined, shape: Shape): boolean {
  const found = readTokenBucket(options);
  return found !== undefined && isTokenBucketOf(found, shape);
}

function isSameHtb(linkIndex: number, shape: Shape, { root, classes, all }: QdiscsLook): boolean {
  const spec = classOf(linkIndex, root?.handle ?? 0, shape);
  const [found, ...others] = classes;
  const leaf = all.find(({ parent }) => parent === spec.classId);
  return (
    found !== undefined &&
    others.length === 0 &&
    found.classId === spec.classId &&
    isHtbClassOf({ ...found, parent: spec.parent }, spec) &&
    leaf?.kind === 'bfifo' &&
    readBfifo(leaf.options) === queueOf(shape)
  );
}

/** One system call: the moment in which htb has no class yet is not to be felt. */
function replacement({ linkIndex, how }: RootShaper, shape: Shape, { all }: QdiscsLook): NetlinkRequest[] {
  const handle = nextHandle(all);
  const operation = `shape link ${linkIndex} with ${how}`;
  const qdisc = { linkIndex, handle, parent: TC_H_ROOT, kind: how };
  if (how === 'tbf') return [qdiscReplace(qdisc, tokenBucketOptions(shape), operation)];
  const htbClass = classOf(linkIndex, handle, shape);
  const leaf = { linkIndex, handle: leafHandle(majorsOf(all)), parent: htbClass.classId, kind: 'bfifo' };
  return [
    qdiscReplace(qdisc, htbOptions(1), operation),
    htbClassSet(htbClass, operation),
    qdiscReplace(leaf, bfifoOptions(queueOf(shape)), operation),
  ];
}

function classOf(linkIndex: number, handle: number, shape: Shape): HtbClass {
  const { rateBitsPerSecond } = shape;
  return {
    linkIndex,
    classId: handle | 1,
    parent: handle,
    rateBitsPerSecond,
    ceilBitsPerSecond: rateBitsPerSecond,
    burstBytes: htbBurstOf(rateBitsPerSecond),
  };
}

/** For any htb class that large packets go through. */
export function htbBurstOf(rateBitsPerSecond: number): number {
  return Math.max(HTB_BURST_BYTES, Math.ceil((rateBitsPerSecond / 8) * HTB_BURST_SECONDS));
}

function queueOf({ rateBitsPerSecond }: Shape): number {
  const queue = htbBurstOf(rateBitsPerSecond) + (rateBitsPerSecond / 8) * HTB_QUEUE_SECONDS;
  return Math.min(0xffff_ffff, Math.max(HTB_QUEUE_BYTES, Math.ceil(queue)));
}
