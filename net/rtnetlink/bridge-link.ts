/**
 * RTM_NEWLINK messages about bridges, their ports, and veth pairs: writes the requests; what links are like is read by
 * link.ts. No socket, no policy. Links that a batch has just made are named, not numbered: nobody knows their index yet.
 *
 * @see linux/if_link.h IFLA_BR_*, linux/veth.h, net/bridge/br_netlink.c br_dev_newlink, drivers/net/veth.c veth_newlink
 */
import type { NetlinkRequest } from './socket.ts';
import * as uapi from './uapi.ts';
import { attribute, nested, text, u32 } from './wire.ts';

/** struct ifinfomsg; link.ts has its layout. */
const IFINFOMSG_BYTES = 16;

/** IFLA_INFO_DATA of kind `bridge`: no spanning tree, and ports that forward at once. */
export function bridgeData(): Buffer {
  return Buffer.concat([
    attribute(uapi.IFLA_BR_STP_STATE, u32(0)),
    attribute(uapi.IFLA_BR_FORWARD_DELAY, u32(0)),
  ]);
}

/** IFLA_INFO_DATA of kind `veth`. @param peerName name of the other end */
export function vethData(peerName: string, mtuBytes: number): Buffer {
  const peer = Buffer.concat([
    Buffer.alloc(IFINFOMSG_BYTES),
    attribute(uapi.IFLA_IFNAME, text(peerName)),
    attribute(uapi.IFLA_MTU, u32(mtuBytes)),
  ]);
  // iproute2 sends it without the flag of nested attributes; kernels take both.
  return attribute(uapi.VETH_INFO_PEER, peer);
}

/** Makes a link a port of a bridge (or of none, with 0). */
export function portSet(name: string, bridgeIndex: number, operation: string): NetlinkRequest {
  const payload = Buffer.concat([
    Buffer.alloc(IFINFOMSG_BYTES),
    attribute(uapi.IFLA_IFNAME, text(name)),
    attribute(uapi.IFLA_MASTER, u32(bridgeIndex)),
  ]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/** Sets the alias of a link, of whatever kind it is: the caller has seen to it that nobody else's has the name. */
export function markSet(name: string, alias: string, operation: string): NetlinkRequest {
  const payload = Buffer.concat([
    Buffer.alloc(IFINFOMSG_BYTES),
    attribute(uapi.IFLA_IFNAME, text(name)),
    // Without NUL: the kernel counts one to the 255 bytes that it allows.
    attribute(uapi.IFLA_IFALIAS, Buffer.from(alias)),
  ]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/** Sets the MTU of a link, by name. A bridge whose MTU was set keeps it; one that never was follows its ports. */
export function mtuSet(name: string, mtuBytes: number, operation: string): NetlinkRequest {
  const payload = Buffer.concat([
    Buffer.alloc(IFINFOMSG_BYTES),
    attribute(uapi.IFLA_IFNAME, text(name)),
    attribute(uapi.IFLA_MTU, u32(mtuBytes)),
  ]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/** Sets the length of a link's queue, by name; a link without a queue (a bridge) does nothing with it. */
export function queueLengthSet(name: string, packets: number, operation: string): NetlinkRequest {
  const payload = Buffer.concat([
    Buffer.alloc(IFINFOMSG_BYTES),
    attribute(uapi.IFLA_IFNAME, text(name)),
    attribute(uapi.IFLA_TXQLEN, u32(packets)),
  ]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}

/** The kernel gives the link no IPv6 address of its own when it is set up. */
export function noOwnIpv6(name: string, operation: string): NetlinkRequest {
  const mode = attribute(uapi.IFLA_INET6_ADDR_GEN_MODE, Buffer.from([uapi.IN6_ADDR_GEN_MODE_NONE]));
  const payload = Buffer.concat([
    Buffer.alloc(IFINFOMSG_BYTES),
    attribute(uapi.IFLA_IFNAME, text(name)),
    nested(uapi.IFLA_AF_SPEC, nested(uapi.AF_INET6, mode)),
  ]);
  return { type: uapi.RTM_NEWLINK, flags: 0, payload, operation };
}
