/**
 * RTM_*NEIGHTBL messages: the limits of the IPv4 neighbour table. No socket, no policy.
 *
 * | ndtmsg | offset | size | field                                       |
 * |--------|-------:|-----:|---------------------------------------------|
 * |        |      0 |    1 | ndtm_family                                 |
 * |        |      4 |    … | attributes NDTA_*                           |
 *
 * @see linux/neighbour.h struct ndtmsg, net/core/neighbour.c neightbl_set
 */
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { asU32, attribute, attributeMap, text, u32 } from './wire.ts';

const NDTMSG_BYTES = 4;
const TABLE = 'arp_cache';

/**
 * In entries: below `least` (gc_thresh1) nothing is thrown away, above `soft` (gc_thresh2) it soon is, above `most`
 * (gc_thresh3) nothing more is taken.
 */
export interface NeighbourLimits {
  readonly least: number;
  readonly soft: number;
  readonly most: number;
}

export function limitsDump(): NetlinkRequest {
  const operation = 'read the limits of the neighbour table';
  return { type: uapi.RTM_GETNEIGHTBL, flags: 0, payload: ndtmsg(), operation };
}

/** ENOENT in a namespace that is not the host's own. */
export function limitsSet({ least, soft, most }: NeighbourLimits): NetlinkRequest {
  const payload = Buffer.concat([
    ndtmsg(),
    attribute(uapi.NDTA_NAME, text(TABLE)),
    attribute(uapi.NDTA_THRESH1, u32(least)),
    attribute(uapi.NDTA_THRESH2, u32(soft)),
    attribute(uapi.NDTA_THRESH3, u32(most)),
  ]);
  const operation = 'raise the limits of the neighbour table';
  return { type: uapi.RTM_SETNEIGHTBL, flags: 0, payload, operation };
}

/** @returns undefined if this message of the dump is not about them */
export function readLimits(payload: Buffer): NeighbourLimits | undefined {
  if (payload.length < NDTMSG_BYTES || payload[0] !== uapi.AF_INET) return undefined;
  const attributes = attributeMap(payload.subarray(NDTMSG_BYTES));
  const least = asU32(attributes.get(uapi.NDTA_THRESH1));
  const soft = asU32(attributes.get(uapi.NDTA_THRESH2));
  const most = asU32(attributes.get(uapi.NDTA_THRESH3));
  return least === undefined || soft === undefined || most === undefined ? undefined : { least, soft, most };
}

function ndtmsg(): Buffer {
  const bytes = Buffer.alloc(NDTMSG_BYTES);
  bytes.writeUInt8(uapi.AF_INET, 0);
  return bytes;
}
