/**
 * Counters: of qdiscs and classes (TCA_STATS2) and of links (IFLA_STATS64). Reads only.
 *
 * @see linux/gen_stats.h struct gnet_stats_basic, gnet_stats_queue; linux/if_link.h struct rtnl_link_stats64
 */
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { asText, attributeMap } from './wire.ts';

const IFINFOMSG_BYTES = 16;

export interface TrafficStatistics {
  /** What was let through. */
  readonly bytes: number;
  readonly packets: number;
  readonly drops: number;
  /** What waits in the queue now. */
  readonly backlogBytes: number;
}

export interface LinkCounters {
  readonly linkIndex: number;
  readonly name: string;
  readonly alias?: string;
  readonly received: { readonly bytes: number; readonly packets: number };
  readonly sent: { readonly bytes: number; readonly packets: number };
}

const NOTHING: TrafficStatistics = { bytes: 0, packets: 0, drops: 0, backlogBytes: 0 };

/** @param attributes of a qdisc or class, by TCA_* */
export function readStatistics(attributes: ReadonlyMap<number, Buffer>): TrafficStatistics {
  const parts = attributeMap(attributes.get(uapi.TCA_STATS2));
  const basic = parts.get(uapi.TCA_STATS_BASIC);
  const queue = parts.get(uapi.TCA_STATS_QUEUE);
  const wide = parts.get(uapi.TCA_STATS_PKT64);
  return {
    ...NOTHING,
    ...(basic === undefined || basic.length < 12
      ? {}
      : { bytes: Number(basic.readBigUInt64LE(0)), packets: basic.readUInt32LE(8) }),
    ...(wide === undefined || wide.length < 8 ? {} : { packets: Number(wide.readBigUInt64LE(0)) }),
    ...(queue === undefined || queue.length < 12
      ? {}
      : { backlogBytes: queue.readUInt32LE(4), drops: queue.readUInt32LE(8) }),
  };
}

/** RTM_GETLINK of all links with their counters, for `RtnetlinkSocket.dump`. */
export function linkCountersDump(operation: string): NetlinkRequest {
  return { type: uapi.RTM_GETLINK, flags: 0, payload: Buffer.alloc(IFINFOMSG_BYTES), operation };
}

/** @param payload of an RTM_NEWLINK message. @returns undefined if it has no counters */
export function readLinkCounters(payload: Buffer): LinkCounters | undefined {
  if (payload.length < IFINFOMSG_BYTES) return undefined;
  const attributes = attributeMap(payload.subarray(IFINFOMSG_BYTES));
  const counters = attributes.get(uapi.IFLA_STATS64);
  const name = asText(attributes.get(uapi.IFLA_IFNAME));
  const alias = asText(attributes.get(uapi.IFLA_IFALIAS));
  if (counters === undefined || counters.length < 32 || name === undefined) return undefined;
  const at = (index: number): number => Number(counters.readBigUInt64LE(8 * index));
  return {
    linkIndex: payload.readInt32LE(4),
    name,
    ...(alias === undefined ? {} : { alias }),
    received: { packets: at(0), bytes: at(2) },
    sent: { packets: at(1), bytes: at(3) },
  };
}
