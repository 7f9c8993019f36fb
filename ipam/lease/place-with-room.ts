/**
 * Where in a large pool something is free, found by counting halves: about as many counts as the pool's size has bits,
 * where going round segment by segment would read thousands that are full.
 */
import type { IpRange } from '../../core/ip.ts';
import type { RangeSpace } from '../address/range-space.ts';

/** Small enough to be looked at as a whole. */
const SMALL = 256n;

export interface PlaceWithRoomDependencies {
  /** How many addresses of these ranges are taken. */
  readonly count: (ranges: readonly IpRange[]) => Promise<number>;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * @returns the number of an address at which a segment with free addresses begins; the more are free in a part the
 *   likelier it is chosen, so that hosts go to different places; undefined if all is taken
 */
export async function placeWithRoom(
  space: RangeSpace,
  { count, random }: PlaceWithRoomDependencies,
): Promise<bigint | undefined> {
  const freeIn = async (from: bigint, to: bigint): Promise<bigint> =>
    to - from - BigInt(await count(space.pieces(from, to)));
  let [from, to] = [0n, space.size];
  let free = await freeIn(from, to);
  while (free > 0n && to - from > SMALL) {
    const middle = (from + to) / 2n;
    const lower = await freeIn(from, middle);
    const share = Number(lower) / Number(free);
    if (random() < share) [to, free] = [middle, lower];
    else [from, free] = [middle, free - lower];
  }
  return free > 0n ? from : undefined;
}
