/**
 * What the kernel tells by itself about links, in the daemon's own namespace and in all others that have an id there.
 * Shapes only; they cross a thread as they are.
 *
 * A namespace is named by its nsid: a number that the daemon's namespace has for it, given by the kernel when a link is
 * moved there, and given anew after it has gone. An event without nsid is about the daemon's own namespace.
 *
 * @see ip-netns(8) "ip netns set", linux/net_namespace.h
 */
import type { LinkInfo } from './port.ts';

/**
 * A link was made, or anything about it has changed; also told where nothing has (the same MAC set again). In other namespaces
 * only of links with a mark of ours, and of those that can step around one of them: macvlan, ipvlan and their taps.
 */
export interface LinkChanged {
  readonly kind: 'link';
  readonly nsid?: number;
  readonly link: LinkInfo;
}

/** A link was deleted, or moved to another namespace. */
export interface LinkGone {
  readonly kind: 'link-gone';
  readonly nsid?: number;
  readonly name: string;
  readonly linkIndex: number;
  readonly alias?: string;
  /** Where it is now, if it was moved. */
  readonly movedTo?: { readonly nsid: number; readonly linkIndex: number };
}

/** An address came or went. Other namespaces only. */
export interface AddressChanged {
  readonly kind: 'address';
  readonly nsid: number;
  readonly linkIndex: number;
  readonly gone: boolean;
}

/** Somebody deleted or changed neighbour entries by hand; told once for many. Other namespaces only. */
export interface NeighboursChanged {
  readonly kind: 'neighbours';
  readonly nsid: number;
  readonly linkIndex: number;
}

/** Somebody else made, changed or removed a queueing discipline or filter; told once for many. Other namespaces only. */
export interface TrafficControlChanged {
  readonly kind: 'traffic-control';
  readonly nsid: number;
  readonly linkIndex: number;
}

/**
 * Events were lost, or listening has begun: look at everything. `neighbours`: only changes of neighbour entries were
 * lost.
 */
export interface Resync {
  readonly kind: 'resync';
  readonly lost: 'all' | 'neighbours';
}

export type KernelEvent =
  | LinkChanged
  | LinkGone
  | AddressChanged
  | NeighboursChanged
  | TrafficControlChanged
  | Resync;

/** What `LinkEvents.onHostLink` tells: links of the daemon's own namespace. */
export type HostLinkEvent = LinkChanged | LinkGone | Resync;
