/**
 * Handles of root qdiscs of ours: 4c00: to 4cff:, by which they are told from those of others. Each new shape gets the next
 * one, because a qdisc under a standing handle would be changed in place. Pure.
 */
import { TC_H_ROOT } from '../rtnetlink/uapi.ts';

/** "L", the first byte of all of them. */
export const HANDLE_BYTE = 0x4c;
const HANDLES = 0x100;

interface Qdisc {
  readonly handle: number;
  readonly parent: number;
}

/** For what hangs below a root of ours: the first one that is free. @param inUse majors on the link; the new one is added */
export function leafHandle(inUse: Set<number>): number {
  let major = 1;
  while (inUse.has(major)) major++;
  inUse.add(major);
  return (major << 16) >>> 0;
}

export function majorsOf(standing: Iterable<Pick<Qdisc, 'handle'>>): Set<number> {
  return new Set(Array.from(standing, ({ handle }) => handle >>> 16));
}

export function isOurHandle(handle: number): boolean {
  return handle >>> 24 === HANDLE_BYTE && (handle & 0xffff) === 0;
}

/** @param standing all qdiscs of the link. @returns the next handle that is not in use there */
export function nextHandle(standing: readonly Qdisc[]): number {
  const inUse = majorsOf(standing);
  const root = standing.find(({ parent, handle }) => parent === TC_H_ROOT && isOurHandle(handle));
  const first = root === undefined ? 0 : ((root.handle >>> 16) & 0xff) + 1;
  for (let count = 0; count < HANDLES; count++) {
    const major = (HANDLE_BYTE << 8) | ((first + count) % HANDLES);
    if (!inUse.has(major)) return (major << 16) >>> 0;
  }
  // A link has a handful of qdiscs.
  return ((HANDLE_BYTE << 24) | ((first % HANDLES) << 16)) >>> 0;
}
