/** What goes between `ShimPort` and the kernel worker about shims and the host's routes. No code. */
import type { LinkInfo } from './port.ts';

export interface ShimSpec {
  /** 1–15 bytes. */
  readonly name: string;
  /** Name of the lower link. */
  readonly parent: string;
  /** IFLA_IFALIAS. */
  readonly alias: string;
}

export interface ShimAdded {
  readonly link: LinkInfo;
  /** Settings that this kernel did not let us make, e.g. `accept_ra`. */
  readonly unset: readonly string[];
}

/** The host's way to one address of a container. */
export interface HostRoute {
  /** `10.77.0.5`, without prefix length. */
  readonly address: string;
  /** Of the container's link. */
  readonly macAddress: string;
}

export interface RouteToPut extends HostRoute {
  /** An address of the segment: the source is the one that the host would use to it. */
  readonly towards: string;
}

/** The host's own address that containers see, by `towards`; absent = the host has no way there. */
export type HostSources = Readonly<Record<string, string>>;

export interface HostRoutesChange {
  /** Name of the shim. */
  readonly shim: string;
  /** Set or set right; those without a source are not. */
  readonly put: readonly RouteToPut[];
  /** Addresses whose route and neighbour go; what is not there is gone. */
  readonly remove: readonly string[];
}

export interface HostRoutesFound {
  /** As they are, with the source that they give. */
  readonly routes: readonly { readonly address: string; readonly source?: string }[];
  /** As they should be now. */
  readonly sources: HostSources;
  /** Of the shim; containers send to it. */
  readonly macAddress: string;
}

/** An entry of a neighbour table that does not age. */
export interface StaticNeighbours {
  /** The sandbox, e.g. `/var/run/docker/netns/0f5c…`. */
  readonly namespacePath: string;
  readonly linkIndex: number;
  readonly entries: readonly HostRoute[];
}
