/**
 * veth pairs whose host end is a port of a bridge: what the kernel worker does for `VethPort`, over a socket that is
 * handed in. Must not make bridges.
 *
 * Both ends die together: with either of them, and with the network namespace that either is in.
 *
 * @see drivers/net/veth.c veth_newlink, veth_dellink; net/bridge/br_if.c br_add_if
 */
import { Conflict, InvalidRequest, type KernelError, NotFound } from '../core/errors.ts';
import { linkDelete, linkGet } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { markSet, noOwnIpv6, portSet, vethData } from './rtnetlink/bridge-link.ts';
import { EEXIST, ENODEV, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import type { NetlinkRequest, RtnetlinkSocket } from './rtnetlink/socket.ts';
import type { VethSpec } from './veth-port.ts';

export interface VethOperations {
  readonly vethAdd: Operation<VethSpec, LinkInfo>;
}

export const vethHandlers: Handlers<VethOperations> = {
  vethAdd: (spec) => withSocketHere((socket) => vethAdd(socket, spec)),
};

/** @see VethPort.vethAdd */
function vethAdd(socket: RtnetlinkSocket, spec: VethSpec): LinkInfo {
  const bridge = bridgeOf(socket, spec);
  const standing = linkGet(socket, spec.name);
  if (standing !== undefined) return takeAsMade(socket, standing, spec, bridge);
  makeRoom(socket, spec);

  const operation = `create veth link "${spec.name}" with "${spec.hostEnd}" on bridge "${spec.bridge}"`;
  const failed = socket.batch(requestsOf(spec, bridge, operation)).find((refused) => refused !== undefined);
  const made = linkGet(socket, spec.name);
  if (failed !== undefined) {
    if (failed.errno === EEXIST) throw taken(socket, spec, failed);
    if (made !== undefined) linkDelete(socket, spec.name);
    throw failed;
  }
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  return made;
}

/** One system call: a kill between two would leave links that nobody knows to be ours. */
function requestsOf(spec: VethSpec, bridge: LinkInfo, operation: string): NetlinkRequest[] {
  const { name, hostEnd, macAddress, alias, mtuBytes = bridge.mtuBytes } = spec;
  const kindData = vethData(hostEnd, mtuBytes);
  return [
    link.linkCreate({ name, macAddress, mtuBytes, kind: 'veth', kindData }, operation),
    markSet(name, alias, `${operation}: mark "${name}"`),
    markSet(hostEnd, alias, `${operation}: mark "${hostEnd}"`),
    noOwnIpv6(hostEnd, `${operation}: keep IPv6 off "${hostEnd}"`),
    portSet(hostEnd, bridge.linkIndex, `${operation}: make "${hostEnd}" its port`),
    link.linkUp(hostEnd, `${operation}: set "${hostEnd}" up`),
  ];
}

/** A host end without the other end here is of an earlier sandbox of this endpoint, which the engine has given up. */
function makeRoom(socket: RtnetlinkSocket, spec: VethSpec): void {
  const left = linkGet(socket, spec.hostEnd);
  if (left === undefined) return;
  if (left.kind !== 'veth' || left.alias !== spec.alias) throw taken(socket, spec);
  linkDelete(socket, spec.hostEnd);
}

function bridgeOf(socket: RtnetlinkSocket, { bridge: name, mtuBytes }: VethSpec): LinkInfo {
  const bridge = linkGet(socket, name);
  if (bridge?.kind !== 'bridge') {
    throw new NotFound(
      `bridge ${name} ${bridge === undefined ? 'does not exist on this host' : `is no bridge, but of kind ${bridge.kind ?? 'device'}`}: restart the Lanius daemon, which makes it again, or remove the network and create it again`,
    );
  }
  if (mtuBytes !== undefined && mtuBytes > bridge.mtuBytes) {
    throw new InvalidRequest(
      `MTU ${mtuBytes} is above the ${bridge.mtuBytes} of bridge ${name}: lower it or raise the bridge's`,
    );
  }
  return bridge;
}

/** Both ends are made and marked in one step, so one that has the mark has the other. */
function takeAsMade(socket: RtnetlinkSocket, standing: LinkInfo, spec: VethSpec, bridge: LinkInfo): LinkInfo {
  const hostEnd = linkGet(socket, spec.hostEnd);
  const asAsked =
    standing.kind === 'veth' &&
    standing.alias === spec.alias &&
    standing.macAddress === spec.macAddress.toLowerCase() &&
    standing.parentIndex === hostEnd?.linkIndex;
  if (!asAsked || hostEnd === undefined) throw taken(socket, spec);
  if (hostEnd.masterIndex !== bridge.linkIndex || !hostEnd.up) {
    const operation = `make "${spec.hostEnd}" a port of bridge "${spec.bridge}"`;
    const refused = socket.batch([
      portSet(spec.hostEnd, bridge.linkIndex, operation),
      link.linkUp(spec.hostEnd, operation),
    ]);
    for (const error of refused) if (error !== undefined) throw error;
  }
  return standing;
}

function taken(socket: RtnetlinkSocket, spec: VethSpec, cause?: KernelError): Conflict {
  const name = linkGet(socket, spec.name) === undefined ? spec.hostEnd : spec.name;
  return new Conflict(
    `a link named "${name}" exists already and is not the one that was to be made: it is not ours to change; remove it (ip link delete ${name})`,
    cause === undefined ? {} : { cause },
  );
}
