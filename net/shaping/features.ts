/**
 * What this kernel has of the parts of shaping, found by trying each in a namespace that exists for the time of the attempt,
 * and which way of enforcing a limit follows from it. Leaves nothing behind.
 */
import { KernelError } from '../../core/errors.ts';
import { linkGet } from '../macvlan.ts';
import { htbOptions } from '../rtnetlink/htb.ts';
import { linkCreate } from '../rtnetlink/link.ts';
import { withSocketInFresh } from '../rtnetlink/namespace.ts';
import { policeOptions } from '../rtnetlink/police.ts';
import type { NetlinkRequest, RtnetlinkSocket } from '../rtnetlink/socket.ts';
import { tokenBucketOptions } from '../rtnetlink/token-bucket.ts';
import { filterReplace, qdiscAdd, qdiscReplace } from '../rtnetlink/traffic-control.ts';
import { redirectOptions } from '../rtnetlink/u32-filter.ts';
import {
  ETH_P_ALL,
  TC_H_CLSACT,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_HANDLE,
  TC_H_CLSACT_INGRESS,
  TC_H_ROOT,
} from '../rtnetlink/uapi.ts';
import type { Shape, ShapeHow } from '../shaping-port.ts';
import { withPriorityProgram } from './priority-filter.ts';

/** Each: true, or what the kernel says. */
export interface ShapingFeatures {
  readonly tbf: true | string;
  readonly htb: true | string;
  readonly clsact: true | string;
  readonly ifb: true | string;
  /** Filter u32 with the action mirred. */
  readonly redirect: true | string;
  /** Filter u32 with the action police. */
  readonly police: true | string;
  /** Filter bpf: priorities that a sandbox sets can be cleared. */
  readonly bpf: true | string;
}

/** Where people find what is missing, and in which configuration option it is. */
const PARTS: Readonly<Record<keyof ShapingFeatures, string>> = {
  tbf: 'qdisc tbf (CONFIG_NET_SCH_TBF)',
  htb: 'qdisc htb (CONFIG_NET_SCH_HTB)',
  clsact: 'qdisc clsact (CONFIG_NET_SCH_INGRESS)',
  ifb: 'link kind ifb (CONFIG_IFB)',
  redirect: 'filter u32 with action mirred (CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED)',
  police: 'action police (CONFIG_NET_ACT_POLICE)',
  bpf: 'filter bpf (CONFIG_NET_CLS_BPF)',
};
const TRIAL: Shape = { rateBitsPerSecond: 1e6, burstBytes: 15_140, limitBytes: 30_000 };
/** Every namespace has its loopback at index 1. */
const LOOPBACK = 1;
const IFB = 'try-ifb';

/** What a direction is enforced by, and why not by the first choice; no `how`: by nothing. */
export interface Way {
  readonly how?: ShapeHow;
  readonly because?: string;
}

/** For what a link sends. Pure. */
export function wayOfSending(features: ShapingFeatures): Way {
  if (features.tbf === true) return { how: 'tbf' };
  if (features.htb === true) {
    const cleared =
      features.bpf === true ? '' : ', and cannot clear priorities, by which a process steps around htb';
    return { how: 'htb', because: `${lacking(['tbf'], features)}${cleared}` };
  }
  return policed(['tbf', 'htb'], features);
}

/** For what a link receives. Pure. */
export function wayOfReceiving(features: ShapingFeatures): Way {
  const needed = (['clsact', 'ifb', 'redirect'] as const).filter((part) => features[part] !== true);
  if (needed.length > 0) return policed(needed, features);
  if (features.tbf === true) return { how: 'tbf' };
  return features.htb === true
    ? { how: 'htb', because: lacking(['tbf'], features) }
    : policed(['tbf', 'htb'], features);
}

function policed(missing: readonly (keyof ShapingFeatures)[], features: ShapingFeatures): Way {
  if (features.police === true && features.clsact === true)
    return { how: 'police', because: lacking(missing, features) };
  const more = (['clsact', 'police'] as const).filter(
    (part) => features[part] !== true && !missing.includes(part),
  );
  return { because: lacking([...missing, ...more], features) };
}

/** `the kernel has no link kind ifb (CONFIG_IFB)` */
export function lacking(parts: readonly (keyof ShapingFeatures)[], features: ShapingFeatures): string {
  const missing = parts.filter((part) => features[part] !== true);
  return `the kernel has no ${missing.map((part) => PARTS[part]).join(', no ')}`;
}

/** @throws KernelError if no namespace can be made */
export function probeShaping(): ShapingFeatures {
  return withSocketInFresh((socket) => {
    const ifb = attempt(socket, linkCreate({ name: IFB, kind: 'ifb' }, 'make an ifb'));
    const target = linkGet(socket, IFB)?.linkIndex ?? LOOPBACK;
    const root = { linkIndex: LOOPBACK, parent: TC_H_ROOT };
    const clsact = attempt(
      socket,
      qdiscAdd(
        { linkIndex: LOOPBACK, handle: TC_H_CLSACT_HANDLE, parent: TC_H_CLSACT, kind: 'clsact' },
        'make a clsact',
      ),
    );
    return {
      ifb,
      clsact,
      tbf: attempt(
        socket,
        qdiscReplace({ ...root, handle: 0x10000, kind: 'tbf' }, tokenBucketOptions(TRIAL), 'make a tbf'),
      ),
      htb: attempt(
        socket,
        qdiscReplace({ ...root, handle: 0x20000, kind: 'htb' }, htbOptions(1), 'make an htb'),
      ),
      redirect: attempt(socket, filter(1, redirectOptions(target), 'make a redirect filter')),
      police: attempt(socket, filter(2, policeOptions(TRIAL), 'make a policer')),
      bpf: tryBpf(socket),
    };
  });
}

function filter(priority: number, options: Buffer, operation: string): NetlinkRequest {
  const place = {
    linkIndex: LOOPBACK,
    parent: TC_H_CLSACT_INGRESS,
    priority,
    protocol: ETH_P_ALL,
    handle: 0,
  };
  return filterReplace(place, 'u32', options, operation);
}

function tryBpf(socket: RtnetlinkSocket): true | string {
  try {
    return withPriorityProgram((filterAt) =>
      attempt(socket, filterAt(LOOPBACK, TC_H_CLSACT_EGRESS, 'attach a program')),
    );
  } catch (error) {
    return reason(error);
  }
}

function attempt(socket: RtnetlinkSocket, request: NetlinkRequest): true | string {
  const [refused] = socket.batch([request]);
  return refused === undefined ? true : reason(refused);
}

function reason(error: unknown): string {
  if (!(error instanceof KernelError)) return String(error);
  const { kernelText } = error.details;
  return typeof kernelText === 'string' ? `${kernelText} (${error.errnoName})` : error.errnoName;
}
