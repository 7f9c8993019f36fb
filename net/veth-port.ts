/**
 * veth pairs to a bridge of the daemon's own namespace, for everybody above. Must not decide who gets one.
 *
 * @see net/veth.ts, which does it
 */
import type { LinkInfo } from './port.ts';

export interface VethSpec {
  /** The end for the container; 1–15 bytes. */
  readonly name: string;
  /** The other end, a port of the bridge; 1–15 bytes. */
  readonly hostEnd: string;
  /** Of the container's end: six hex pairs with colons, a unicast address. */
  readonly macAddress: string;
  /** IFLA_IFALIAS of both ends. */
  readonly alias: string;
  readonly bridge: string;
  /** The bridge's, if not given. */
  readonly mtuBytes?: number;
}

export interface VethPort {
  /**
   * Makes a veth pair in the daemon's own namespace: the container's end down, with that MAC; the host's end up, a port
   * of the bridge, without IPv6 of its own; both marked. A pair that stands like this is taken as made (idempotent),
   * and put back on its bridge. Either both stand with their mark or none does, even if the process is killed meanwhile.
   * @returns the container's end
   * @throws NotFound if there is no such bridge; Conflict if one of the names is taken by another link; InvalidRequest
   *   for an MTU above the bridge's; KernelError otherwise
   */
  vethAdd(spec: VethSpec): Promise<LinkInfo>;
}
