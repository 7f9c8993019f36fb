/** What passed for endpoints that the host shapes, by their MACs. Reads only, over a socket that is handed in. */
import { parentIfbNameOf } from '../../core/ids.ts';
import { linkList } from '../macvlan.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';
import type { EndpointTraffic, PassedTraffic } from '../shaping-port.ts';
import { itemsByMac, keyOf, lookAtTree } from './host-look.ts';
import { type MacSide, macKeys } from './host-tree.ts';
import { qdiscList } from './link-look.ts';

type PassedBy = (macAddress: string) => PassedTraffic | undefined;

/** @returns those that have a class on both sides */
export function trafficByMac(
  socket: RtnetlinkSocket,
  parent: string,
  macAddresses: readonly string[],
): ReadonlyMap<string, EndpointTraffic> {
  const links = linkList(socket);
  const qdiscs = qdiscList(socket);
  const passedBy = (name: string, mac: MacSide): PassedBy => {
    const linkIndex = links.find((link) => link.name === name)?.linkIndex;
    if (linkIndex === undefined) return () => undefined;
    const { filters, classes, leaves } = lookAtTree(socket, linkIndex, qdiscs);
    const items = itemsByMac(filters);
    return (macAddress) => {
      const item = items.get(keyOf(macKeys(macAddress, mac)));
      const found = classes.get(item?.u32?.classId ?? 0);
      if (found === undefined) return undefined;
      const { bytes, packets } = found.statistics;
      return { bytes, packets, drops: leaves.get(found.classId)?.statistics.drops ?? 0 };
    };
  };
  const sent = passedBy(parent, 'source');
  const received = passedBy(parentIfbNameOf(parent), 'destination');
  return new Map(
    macAddresses.flatMap((macAddress) => {
      const [out, into] = [sent(macAddress), received(macAddress)];
      return out === undefined || into === undefined ? [] : [[macAddress, { in: into, out }] as const];
    }),
  );
}
