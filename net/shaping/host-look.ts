/** One look at the tree of one side of a parent. Reads only, over a socket that is handed in. */
import type { HtbClassInfo } from '../rtnetlink/htb.ts';
import { readHtbDefault } from '../rtnetlink/htb.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';
import type { U32Key } from '../rtnetlink/u32-filter.ts';
import { HOST_HANDLE, MAC_TABLE, UNKNOWN_MINOR } from './host-tree.ts';
import { classList, type FilterLook, filterList, type QdiscLook, rootOf } from './link-look.ts';

export interface TreeLook {
  /** What somebody has set there; undefined: the kernel's default. */
  readonly root?: QdiscLook;
  /** By class id. */
  readonly classes: ReadonlyMap<number, HtbClassInfo>;
  /** By class id. */
  readonly leaves: ReadonlyMap<number, QdiscLook>;
  readonly filters: readonly FilterLook[];
}

const NOTHING = { classes: new Map(), leaves: new Map(), filters: [] };

/** @param qdiscs of all links */
export function lookAtTree(
  socket: RtnetlinkSocket,
  linkIndex: number,
  qdiscs: readonly QdiscLook[],
): TreeLook {
  const root = rootOf(qdiscs, linkIndex);
  if (root === undefined) return NOTHING;
  if (!isHostTree(root)) return { ...NOTHING, root };
  const own = qdiscs.filter((one) => one.linkIndex === linkIndex);
  return {
    root,
    classes: new Map(classList(socket, linkIndex).map((one) => [one.classId, one])),
    leaves: new Map(own.map((one) => [one.parent, one])),
    filters: filterList(socket, linkIndex, HOST_HANDLE),
  };
}

/** An htb that we have put there. */
export function isHostTree({ kind, handle, options }: QdiscLook): boolean {
  return kind === 'htb' && handle === HOST_HANDLE && readHtbDefault(options) === UNKNOWN_MINOR;
}

/** What stands in the table of MACs, by what it matches. */
export function itemsByMac(filters: readonly FilterLook[]): ReadonlyMap<string, FilterLook> {
  const items = filters.filter(({ handle }) => handle >>> 20 === MAC_TABLE >>> 20 && (handle & 0xfff) !== 0);
  return new Map(items.map((item) => [keyOf(item.u32?.keys ?? []), item]));
}

/** Of what a filter matches. */
export function keyOf(keys: readonly U32Key[]): string {
  return keys.map(({ at, value }) => `${at} ${value}`).join(' ');
}
