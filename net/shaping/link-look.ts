/** One look at what shapes a link: its qdiscs, its filters, its ifb. Reads only, over a socket that is handed in. */
import { linkList } from '../macvlan.ts';
import type { LinkInfo } from '../port.ts';
import { classDump, type HtbClassInfo, readHtbClass } from '../rtnetlink/htb.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';
import * as tc from '../rtnetlink/traffic-control.ts';
import { readStatistics, type TrafficStatistics } from '../rtnetlink/traffic-statistics.ts';
import { readU32, type U32Info } from '../rtnetlink/u32-filter.ts';
import {
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_HANDLE,
  TC_H_CLSACT_INGRESS,
  TC_H_ROOT,
  TCA_OPTIONS,
} from '../rtnetlink/uapi.ts';
import { isOurHandle } from './handles.ts';

export interface QdiscLook extends tc.QdiscInfo {
  readonly options?: Buffer;
  readonly statistics: TrafficStatistics;
}

export interface FilterLook extends tc.FilterInfo {
  /** For kind `u32`. */
  readonly u32?: U32Info;
}

/** The qdiscs of one link. */
export interface QdiscsLook {
  readonly all: readonly QdiscLook[];
  /** Undefined if it is the kernel's default. */
  readonly root?: QdiscLook;
  /** If the root is an htb of ours. */
  readonly classes: readonly HtbClassInfo[];
}

export interface LinkLook {
  readonly link: LinkInfo;
  /** All links of the namespace. */
  readonly links: readonly LinkInfo[];
  readonly qdiscs: QdiscsLook;
  /** What stands at the place of clsact: `clsact`, `ingress`. */
  readonly hook?: string;
  readonly ingress: readonly FilterLook[];
  readonly egress: readonly FilterLook[];
  /** The link of the ifb's name, whatever it is. */
  readonly ifb?: LinkInfo;
  readonly ifbQdiscs: QdiscsLook;
}

const NO_QDISCS: QdiscsLook = { all: [], classes: [] };

/** @returns undefined if there is no such link */
export function lookAtLink(
  socket: RtnetlinkSocket,
  linkIndex: number,
  ifbName: string,
): LinkLook | undefined {
  const links = linkList(socket);
  const link = links.find((one) => one.linkIndex === linkIndex);
  if (link === undefined) return undefined;
  const ifb = links.find(({ name }) => name === ifbName);
  const all = qdiscList(socket);
  const qdiscs = qdiscsOf(socket, all, linkIndex);
  const hook = qdiscs.all.find(({ handle }) => handle === TC_H_CLSACT_HANDLE)?.kind;
  return {
    link,
    links,
    qdiscs,
    ...(hook === undefined ? {} : { hook }),
    ingress: hook === undefined ? [] : filterList(socket, linkIndex, ingressParent(hook)),
    egress: hook === 'clsact' ? filterList(socket, linkIndex, TC_H_CLSACT_EGRESS) : [],
    ...(ifb === undefined ? {} : { ifb }),
    ifbQdiscs: ifb === undefined ? NO_QDISCS : qdiscsOf(socket, all, ifb.linkIndex),
  };
}

/** Where filters for received frames hang: clsact has two hooks, the older qdisc `ingress` only this one. */
export function ingressParent(hook: string | undefined): number {
  return hook === 'ingress' ? TC_H_CLSACT_HANDLE : TC_H_CLSACT_INGRESS;
}

/** Of all links of the namespace. */
export function qdiscList(socket: RtnetlinkSocket): QdiscLook[] {
  return socket.dump(tc.qdiscDump('list the qdiscs of a namespace')).flatMap(({ payload }) => {
    const qdisc = tc.readQdisc(payload);
    if (qdisc === undefined) return [];
    const attributes = tc.attributesOf(payload);
    const options = attributes.get(TCA_OPTIONS);
    return [
      { ...qdisc, ...(options === undefined ? {} : { options }), statistics: readStatistics(attributes) },
    ];
  });
}

/** The root that somebody has set; the kernel's own has handle 0. */
export function rootOf(qdiscs: readonly QdiscLook[], linkIndex: number): QdiscLook | undefined {
  return qdiscs.find((one) => one.linkIndex === linkIndex && one.parent === TC_H_ROOT && one.handle !== 0);
}

export function filterList(socket: RtnetlinkSocket, linkIndex: number, parent: number): FilterLook[] {
  return socket
    .dump(tc.filterDump(linkIndex, parent, `list the filters of link ${linkIndex}`))
    .flatMap(({ payload }) => {
      const filter = tc.readFilter(payload);
      if (filter === undefined) return [];
      return [filter.kind === 'u32' ? { ...filter, u32: readU32(payload) } : filter];
    });
}

export function classList(socket: RtnetlinkSocket, linkIndex: number): HtbClassInfo[] {
  return socket
    .dump(classDump(linkIndex, `list the classes of link ${linkIndex}`))
    .map(({ payload }) => readHtbClass(payload))
    .filter((found) => found !== undefined);
}

function qdiscsOf(socket: RtnetlinkSocket, all: readonly QdiscLook[], linkIndex: number): QdiscsLook {
  const own = all.filter((one) => one.linkIndex === linkIndex);
  const root = rootOf(own, linkIndex);
  const ours = root?.kind === 'htb' && isOurHandle(root.handle);
  return {
    all: own,
    ...(root === undefined ? {} : { root }),
    classes: ours ? classList(socket, linkIndex) : [],
  };
}
