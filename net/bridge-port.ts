/**
 * Bridges of the daemon's own namespace, and the move of a host's addresses between a bridge and its uplink, for
 * everybody above. Must not decide who needs a bridge, nor when addresses move.
 *
 * @see net/bridge.ts and net/bridge-move.ts, which do it
 */
import type { LinkInfo } from './port.ts';
import type { AddressEntry } from './rtnetlink/address.ts';
import type { RouteEntry } from './rtnetlink/route.ts';

export interface BridgeSpec {
  /** 1–15 bytes. */
  readonly name: string;
  /** Name of the link that is to be, or is, its uplink port. */
  readonly uplink: string;
  /** IFLA_IFALIAS of a bridge that is made here. */
  readonly alias: string;
}

export interface BridgeState {
  readonly bridge: LinkInfo;
  readonly uplink: LinkInfo;
  /** By this call. */
  readonly made: boolean;
  /** The uplink is a port of it. */
  readonly joined: boolean;
  /** The host's firewall sees what the bridge forwards (net.bridge.bridge-nf-call-iptables). */
  readonly filtered: boolean;
}

/** The global addresses of a link, and the routes through it; plain, so that it can be kept on disk. */
export interface Addressing {
  /** In the order in which the kernel has them: the first of a subnet is its primary one. */
  readonly addresses: readonly AddressEntry[];
  readonly routes: readonly RouteEntry[];
  /** Why not all of it can move to another link, for people. */
  readonly obstacle?: string;
}

export interface AddressingMove {
  readonly from: string;
  readonly to: string;
  readonly addressing: Addressing;
  /** The one of the two that is the uplink, and the bridge it becomes a port of, or of none. */
  readonly port: { readonly uplink: string; readonly bridge?: string };
}

export interface BridgePort {
  /**
   * Finds the bridge, or makes it: marked, down, without spanning tree and forward delay, with MAC and MTU of the uplink,
   * which stay as they are whatever ports come and go. The uplink does not become a port here. Idempotent. Either the
   * bridge stands with its mark or there is none, even if the process is killed meanwhile.
   * @throws NotFound if the uplink does not exist; Conflict if the name is taken by another kind of link, the uplink is
   *   a port of another bridge, or the bridge is somebody else's and has not this uplink, or ours with another;
   *   KernelError otherwise
   */
  bridgeAdd(spec: BridgeSpec): Promise<BridgeState>;
  /**
   * Makes the uplink a port of the bridge, and sets the bridge up. Idempotent.
   * @throws InvalidRequest if it carries global addresses, for then the host would be cut off; KernelError
   */
  uplinkJoin(bridge: string, uplink: string): Promise<void>;
  /**
   * Deletes a bridge with that mark, unless it has ports other than `uplink`.
   * @returns false if there was none; the names of the other ports if it stays for them
   */
  bridgeDelete(spec: BridgeSpec): Promise<boolean | readonly string[]>;
  /** All that would have to move. @throws NotFound */
  addressingOf(name: string): Promise<Addressing>;
  /**
   * In one system call, which no signal stops half way: changes the port, gives the addresses to `to`, and lets the
   * routes go through `to`. `from` keeps its addresses too, until `addressesDelete`: the host has them all the time.
   * Idempotent. @throws KernelError; then all is as it was before, or `details.notRestored` says what is not
   */
  addressingMove(move: AddressingMove): Promise<void>;
  /** Deletes those of these addresses that the link has. Idempotent. @throws KernelError */
  addressesDelete(name: string, addresses: readonly AddressEntry[]): Promise<void>;
}
