/**
 * What passed through a link, from one look at its namespace.
 *
 * Where there is a shaper its counters are told: they count what passed on the wire, and what the limit dropped. Else those
 * of the link, which count a packet of segmentation offload once.
 */
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';
import { type LinkCounters, linkCountersDump, readLinkCounters } from '../rtnetlink/traffic-statistics.ts';
import type { PassedTraffic } from '../shaping-port.ts';
import { isOurHandle } from './handles.ts';
import { type QdiscLook, rootOf } from './link-look.ts';

export interface LinkTraffic {
  readonly sent: PassedTraffic;
  readonly received: PassedTraffic;
}

/** All links of the namespace. */
export function linksWithCounters(socket: RtnetlinkSocket): LinkCounters[] {
  return socket
    .dump(linkCountersDump('read the counters of links'))
    .map(({ payload }) => readLinkCounters(payload))
    .filter((found) => found !== undefined);
}

export function trafficOf(
  link: LinkCounters,
  ifbName: string,
  links: readonly LinkCounters[],
  qdiscs: readonly QdiscLook[],
): LinkTraffic {
  const ifb = links.find(({ name }) => name === ifbName);
  return {
    sent: passed(qdiscs, link.linkIndex) ?? { ...link.sent, drops: 0, counter: 'link' },
    received: (ifb && passed(qdiscs, ifb.linkIndex)) ?? { ...link.received, drops: 0, counter: 'link' },
  };
}

function passed(qdiscs: readonly QdiscLook[], linkIndex: number): PassedTraffic | undefined {
  const root = rootOf(qdiscs, linkIndex);
  if (root === undefined || !isOurHandle(root.handle)) return undefined;
  const { bytes, packets, drops } = root.statistics;
  return { bytes, packets, drops, counter: 'shaper' };
}
