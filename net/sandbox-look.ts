/**
 * One look at the link of an endpoint in its sandbox, found by its mark. Reads only, in the kernel worker.
 *
 * The answer has the sandbox's nsid, by which events name it. A namespace gets one when a link is moved into it from
 * ours, which is how an endpoint's link comes there; one that has none is given one, else nothing would be heard of it.
 *
 * @see linux/net_namespace.h NETNSA_*; net/core/net_namespace.c rtnl_net_getid(), rtnl_net_newid()
 */
import { closeSync, constants, openSync } from 'node:fs';
import { linkList } from './macvlan.ts';
import type { LinkInfo } from './port.ts';
import { addressDump, readAddress } from './rtnetlink/address.ts';
import { withSocketHere, withSocketIn } from './rtnetlink/namespace.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { attribute, attributeMap, u32 } from './rtnetlink/wire.ts';

const RTGENMSG_BYTES = 4;
const UNASSIGNED = -1;
const SCOPE_GLOBAL = 0;

export interface SandboxLookSpec {
  /** Of the sandbox, e.g. `/var/run/docker/netns/0f5c…`. */
  readonly namespacePath: string;
  /** The link's mark. A container with NET_ADMIN may give it to another link, so of several one is chosen by these: */
  readonly alias: string;
  /** Where it was last. */
  readonly linkIndex?: number;
  readonly macAddress?: string;
}

export interface LinkInSandbox {
  readonly link: LinkInfo;
  /** It has an address of that family that is valid beyond the link. */
  readonly hasIpv4: boolean;
  readonly hasIpv6: boolean;
  /** Of the sandbox, as events name it; undefined if the kernel gives it none. */
  readonly nsid?: number;
}

/** @returns undefined if there is no such sandbox or no such link in it (yet, or any more) */
export function sandboxLook({
  namespacePath,
  alias,
  linkIndex,
  macAddress,
}: SandboxLookSpec): LinkInSandbox | undefined {
  const found = withSocketIn(namespacePath, (socket) => {
    const marked = linkList(socket).filter((one) => one.alias === alias);
    const link =
      marked.find((one) => one.linkIndex === linkIndex) ??
      marked.find((one) => one.macAddress === macAddress) ??
      marked[0];
    if (link === undefined) return undefined;
    const addresses = socket
      .dump(addressDump('list the addresses of a sandbox'))
      .map(({ payload }) => readAddress(payload))
      .filter((one) => one?.linkIndex === link.linkIndex && one.scope === SCOPE_GLOBAL);
    return {
      link,
      hasIpv4: addresses.some((one) => one?.family === 4),
      hasIpv6: addresses.some((one) => one?.family === 6),
    };
  });
  if (found === undefined) return undefined;
  const nsid = namespaceId(namespacePath);
  return nsid === undefined ? found : { ...found, nsid };
}

function namespaceId(namespacePath: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(namespacePath, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    return readNamespaceId(fd) ?? giveNamespaceId(fd);
  } finally {
    closeSync(fd);
  }
}

function readNamespaceId(fd: number): number | undefined {
  return withSocketHere((socket) => {
    const payload = Buffer.concat([Buffer.alloc(RTGENMSG_BYTES), attribute(uapi.NETNSA_FD, u32(fd))]);
    const operation = 'read the id of a network namespace';
    const [answer] = socket.request({ type: uapi.RTM_GETNSID, flags: 0, payload, operation });
    const value = attributeMap(answer?.payload.subarray(RTGENMSG_BYTES)).get(uapi.NETNSA_NSID);
    const nsid = value?.length === 4 ? value.readInt32LE(0) : UNASSIGNED;
    return nsid === UNASSIGNED ? undefined : nsid;
  });
}

function giveNamespaceId(fd: number): number | undefined {
  withSocketHere((socket) => {
    const any = Buffer.alloc(4);
    any.writeInt32LE(UNASSIGNED, 0);
    const payload = Buffer.concat([
      Buffer.alloc(RTGENMSG_BYTES),
      attribute(uapi.NETNSA_NSID, any),
      attribute(uapi.NETNSA_FD, u32(fd)),
    ]);
    const operation = 'give a network namespace an id';
    // Refused if somebody was faster: then it has one.
    socket.batch([{ type: uapi.RTM_NEWNSID, flags: 0, payload, operation }]);
  });
  return readNamespaceId(fd);
}
