/**
 * From netlink notifications to events: pure. Drops what nobody waits for, which is most of it: other namespaces'
 * most links without our mark, addresses and filters of the daemon's own namespace.
 */
import { LINK_ALIAS_PREFIX } from '../core/ids.ts';
import type { KernelEvent } from './event-types.ts';
import { readLink } from './rtnetlink/link.ts';
import type { Notification } from './rtnetlink/multicast-socket.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { asText, asU32, attributeMap, type NetlinkMessage } from './rtnetlink/wire.ts';

const IFINFOMSG_BYTES = 16;

/** They reach the parent of a link from inside of its sandbox. */
const AROUND_KINDS = ['macvlan', 'macvtap', 'ipvlan', 'ipvtap'];

/**
 * The events of one datagram.
 * @param ownPort the port that sockets of this process get, its pid: what it does to traffic control itself is no event. A
 *   process of a sandbox that takes that number for its socket is not heard either; the periodic check finds its doings
 */
export function eventsOf({ nsid, messages }: Notification, ownPort: number): KernelEvent[] {
  return messages.map((message) => eventOf(message, nsid, ownPort)).filter((event) => event !== undefined);
}

function eventOf(
  { type, port, payload }: NetlinkMessage,
  nsid: number | undefined,
  ownPort: number,
): KernelEvent | undefined {
  switch (type) {
    case uapi.RTM_NEWLINK:
      return changedLink(payload, nsid);
    case uapi.RTM_DELLINK:
      return goneLink(payload, nsid);
  }
  // struct ifaddrmsg, ndmsg and tcmsg all have the index at 4.
  if (nsid === undefined || payload.length < 8) return undefined;
  const linkIndex = payload.readInt32LE(4);
  switch (type) {
    case uapi.RTM_NEWADDR:
      return { kind: 'address', nsid, linkIndex, gone: false };
    case uapi.RTM_DELADDR:
      return { kind: 'address', nsid, linkIndex, gone: true };
    case uapi.RTM_NEWNEIGH:
      return { kind: 'neighbours', nsid, linkIndex };
    case uapi.RTM_NEWQDISC:
    case uapi.RTM_DELQDISC:
    case uapi.RTM_NEWTFILTER:
    case uapi.RTM_DELTFILTER:
      return port === ownPort ? undefined : { kind: 'traffic-control', nsid, linkIndex };
    default:
      return undefined;
  }
}

function changedLink(payload: Buffer, nsid: number | undefined): KernelEvent | undefined {
  if (!isAboutLink(payload)) return undefined;
  const link = readLink(payload);
  if (link === undefined) return undefined;
  if (!isWanted(nsid, link.alias) && !AROUND_KINDS.includes(link.kind ?? '')) return undefined;
  return { kind: 'link', ...(nsid === undefined ? {} : { nsid }), link };
}

function goneLink(payload: Buffer, nsid: number | undefined): KernelEvent | undefined {
  if (!isAboutLink(payload)) return undefined;
  const attributes = attributeMap(payload.subarray(IFINFOMSG_BYTES));
  const alias = asText(attributes.get(uapi.IFLA_IFALIAS));
  if (!isWanted(nsid, alias)) return undefined;
  const newNsid = attributes.get(uapi.IFLA_NEW_NETNSID);
  const newIndex = asU32(attributes.get(uapi.IFLA_NEW_IFINDEX));
  const moved = newNsid !== undefined && newNsid.length >= 4 && newIndex !== undefined;
  return {
    kind: 'link-gone',
    ...(nsid === undefined ? {} : { nsid }),
    name: asText(attributes.get(uapi.IFLA_IFNAME)) ?? '',
    linkIndex: payload.readInt32LE(4),
    ...(alias === undefined ? {} : { alias }),
    ...(moved ? { movedTo: { nsid: newNsid.readInt32LE(0), linkIndex: newIndex } } : {}),
  };
}

/** Bridges tell of their ports in the same messages, under a family of their own. */
function isAboutLink(payload: Buffer): boolean {
  return payload.length >= IFINFOMSG_BYTES && payload.readUInt8(0) === uapi.AF_UNSPEC;
}

function isWanted(nsid: number | undefined, alias: string | undefined): boolean {
  return nsid === undefined || alias?.startsWith(LINK_ALIAS_PREFIX) === true;
}

/**
 * A batch in the making: many changes of one link without our mark become the last of them, and of neighbour entries
 * only that there were any, so that a storm stays small.
 */
export class EventBatch {
  readonly #events = new Map<string, KernelEvent>();
  #count = 0;

  get size(): number {
    return this.#events.size;
  }

  add(event: KernelEvent): void {
    const key = coalescingKey(event) ?? String(this.#count++);
    // The last one counts, at the place of the last one.
    this.#events.delete(key);
    this.#events.set(key, event);
  }

  /** Everything since the last call. */
  take(): KernelEvent[] {
    const events = [...this.#events.values()];
    this.#events.clear();
    return events;
  }
}

function coalescingKey(event: KernelEvent): string | undefined {
  switch (event.kind) {
    case 'link':
      return event.link.alias?.startsWith(LINK_ALIAS_PREFIX) === true
        ? undefined
        : `l${event.nsid ?? ''}:${event.link.linkIndex}`;
    case 'neighbours':
      return `n${event.nsid}:${event.linkIndex}`;
    case 'traffic-control':
      return `f${event.nsid}:${event.linkIndex}`;
    case 'resync':
      return `r${event.lost}`;
    case 'link-gone':
    case 'address':
      return undefined;
  }
}
