/**
 * Bridges: what the kernel worker does for `BridgePort`, over a socket that is handed in. Must not decide who needs
 * one, nor change a bridge without our mark.
 *
 * A bridge whose MAC was never set takes the lowest one of its ports, so it would change with every container; the
 * host's neighbours would follow late. It is set at the creation here (addr_assign_type NET_ADDR_SET). Its MTU would follow
 * its ports in the same way; that counts as set only by a change.
 *
 * @see net/bridge/br_if.c br_add_if, net/bridge/br_stp_if.c br_stp_recalculate_bridge_id,
 *   net/bridge/br_device.c br_change_mtu
 */
import { readFileSync } from 'node:fs';
import { Conflict, InvalidRequest, KernelError, NotFound } from '../core/errors.ts';
import { endpointIdOfAlias } from '../core/ids.ts';
import { addressingOf, lastingAddressOf } from './bridge-addressing.ts';
import type { BridgeSpec, BridgeState } from './bridge-port.ts';
import { linkGet, linkList } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { bridgeData, mtuSet, portSet, queueLengthSet } from './rtnetlink/bridge-link.ts';
import { EBUSY, ENODEV, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import type { NetlinkRequest, RtnetlinkSocket } from './rtnetlink/socket.ts';

/** DEFAULT_TX_QUEUE_LEN, and any other length. */
const USUAL_PACKETS = 1000;
const ODD_PACKETS = 1001;

interface UplinkJoin {
  readonly bridge: string;
  readonly uplink: string;
}

export interface BridgeOperations {
  readonly bridgeAdd: Operation<BridgeSpec, BridgeState>;
  readonly uplinkJoin: Operation<UplinkJoin, void>;
  readonly bridgeDelete: Operation<BridgeSpec, boolean | readonly string[]>;
}

export const bridgeHandlers: Handlers<BridgeOperations> = {
  bridgeAdd: (spec) => withSocketHere((socket) => bridgeAdd(socket, spec)),
  uplinkJoin: (join) => withSocketHere((socket) => uplinkJoin(socket, join)),
  bridgeDelete: (spec) => withSocketHere((socket) => bridgeDelete(socket, spec)),
};

/** @see BridgePort.bridgeAdd */
function bridgeAdd(socket: RtnetlinkSocket, spec: BridgeSpec): BridgeState {
  const links = linkList(socket);
  const uplink = linkOf(links, spec.uplink);
  const standing = links.find(({ name }) => name === spec.name);
  const master = links.find(({ linkIndex }) => linkIndex === uplink.masterIndex);
  if (uplink.masterIndex !== undefined && master?.name !== spec.name) {
    const remedy =
      master?.kind === 'bridge' ? `: give -o bridge=${master.name}, or choose another parent` : '';
    throw new Conflict(
      `parent link ${spec.uplink} is a port of ${master?.name ?? 'another link'} already${remedy}`,
    );
  }
  if (standing !== undefined) checkStanding(standing, spec, uplink, links);
  const bridge = standing ?? bridgeMake(socket, spec, uplink);
  return {
    bridge,
    uplink,
    made: standing === undefined,
    joined: uplink.masterIndex === bridge.linkIndex,
    filtered: isFiltered(),
  };
}

function checkStanding(
  standing: LinkInfo,
  { name, uplink: wanted, alias }: BridgeSpec,
  uplink: LinkInfo,
  links: readonly LinkInfo[],
): void {
  if (standing.kind !== 'bridge') {
    throw new Conflict(
      `link ${name} exists, but is no bridge (it is of kind ${standing.kind ?? 'device'}): choose another name with -o bridge=`,
    );
  }
  if (uplink.masterIndex === standing.linkIndex) return;
  if (standing.alias !== alias) {
    throw new Conflict(
      `bridge ${name} exists, but parent link ${wanted} is not a port of it: attach it (ip link set ${wanted} master ${name}), or choose another name with -o bridge=`,
    );
  }
  const other = strangersOn(standing, links)[0];
  if (other === undefined) return;
  throw new Conflict(
    `bridge ${name} has the uplink ${other} already: choose another name with -o bridge= for parent link ${wanted}`,
  );
}

/** Ports that are not of our endpoints. */
function strangersOn(bridge: LinkInfo, links: readonly LinkInfo[]): string[] {
  return links
    .filter(({ masterIndex }) => masterIndex === bridge.linkIndex)
    .filter(({ alias }) => endpointIdOfAlias(alias ?? '') === undefined)
    .map(({ name }) => name);
}

function bridgeMake(socket: RtnetlinkSocket, { name, alias }: BridgeSpec, uplink: LinkInfo): LinkInfo {
  const operation = `create bridge "${name}"`;
  const kindData = bridgeData();
  const { macAddress, mtuBytes } = uplink;
  const mac = macAddress === undefined ? {} : { macAddress };
  // All in one system call: a kill between two would leave a link that nobody knows to be ours.
  const [refused, ...others] = socket.batch([
    link.linkCreate({ name, ...mac, mtuBytes: mtuBytes - 1, kind: 'bridge', kindData }, operation),
    link.linkAliasSet(name, alias, 'bridge', kindData, `${operation} and mark it`),
    mtuSet(name, mtuBytes, `${operation} with MTU ${mtuBytes}`),
  ]);
  const made = linkGet(socket, name);
  if (refused !== undefined) {
    // Somebody was faster, and has our mark now: without it his bridge is never taken for ours.
    if (made?.alias === alias)
      socket.batch([link.linkAliasSet(made.name, '', 'bridge', kindData, `unmark bridge "${made.name}"`)]);
    throw refused;
  }
  const failed = others.find((one) => one !== undefined);
  if (failed !== undefined) {
    if (made?.alias === alias)
      socket.request(link.linkDelete(made.linkIndex, `delete bridge "${name}" again`));
    throw failed;
  }
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  return made;
}

/** @see BridgePort.uplinkJoin */
function uplinkJoin(socket: RtnetlinkSocket, { bridge: bridgeName, uplink: name }: UplinkJoin): void {
  const links = linkList(socket);
  const [bridge, uplink] = [linkOf(links, bridgeName), linkOf(links, name)];
  const isPort = uplink.masterIndex === bridge.linkIndex;
  if (isPort && bridge.up) return;
  const [first] = isPort ? [] : addressingOf(socket, uplink).addresses;
  if (first !== undefined) {
    throw new InvalidRequest(
      `parent link ${name} carries the host's address ${first.address}/${first.prefixLength}, which would be cut off as soon as ${name} is a port of bridge ${bridgeName}: add -o adopt_address=true, which moves it to the bridge, or take another parent`,
    );
  }
  const failed = socket.batch(joining(bridge, uplink)).find((refused) => refused !== undefined);
  if (failed !== undefined) throw portRefused(failed, name);
}

/**
 * Makes a link a port of a bridge that forwards, and sends what the host gives it, at once. A bridge whose first port
 * comes throws away what it is given to send until the kernel's link watch has seen that: long enough for the first ARP
 * request of the host to be lost, and the second one comes a second later. To change the length of its queue, which it
 * does not have, makes the kernel look at once.
 * @see net/sched/sch_generic.c dev_activate, dev_qdisc_change_tx_queue_len; net/core/link_watch.c linkwatch_do_dev
 */
export function joining({ name, linkIndex, up, carrier }: LinkInfo, port: LinkInfo): NetlinkRequest[] {
  const waking = `have bridge "${name}" send at once`;
  return [
    ...(up ? [] : [link.linkUp(name, `set bridge "${name}" up`)]),
    portSet(port.name, linkIndex, `make link "${port.name}" a port of bridge "${name}"`),
    ...(up && carrier
      ? []
      : [ODD_PACKETS, USUAL_PACKETS].map((length) => queueLengthSet(name, length, waking))),
  ];
}

/** EBUSY comes with macvlan links on the parent, which take its frames before a bridge can. */
export function portRefused(error: unknown, uplink: string): unknown {
  if (!(error instanceof KernelError) || error.errno !== EBUSY) return error;
  return new Conflict(
    `parent link ${uplink} cannot be a port of a bridge, because networks of mode macvlan or ipvlan use it: remove those, or choose another parent`,
    { cause: error },
  );
}

/** @see BridgePort.bridgeDelete */
function bridgeDelete(socket: RtnetlinkSocket, spec: BridgeSpec): boolean | readonly string[] {
  const links = linkList(socket);
  const found = links.find(({ name }) => name === spec.name);
  if (found?.kind !== 'bridge' || found.alias !== spec.alias) return false;
  const ports = links.filter(({ masterIndex }) => masterIndex === found.linkIndex);
  const others = ports.filter(({ name }) => name !== spec.uplink).map(({ name }) => name);
  if (others.length > 0) return others;
  const lasting = lastingAddressOf(socket, found);
  if (lasting !== undefined) {
    throw new Conflict(
      `bridge ${spec.name} is kept, because it carries the host's address ${lasting.address}/${lasting.prefixLength}: move that (ip address), then remove the bridge (ip link delete ${spec.name})`,
    );
  }
  try {
    socket.request(link.linkDelete(found.linkIndex, `delete bridge "${spec.name}"`));
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.errno === ENODEV) return false;
    throw error;
  }
}

function linkOf(links: readonly LinkInfo[], name: string): LinkInfo {
  const found = links.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new NotFound(
    `link ${name} does not exist on this host: create it, or choose another with -o parent=`,
  );
}

/** Absent without the module br_netfilter: then nothing is filtered. */
function isFiltered(): boolean {
  try {
    return readFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', 'utf8').trim() === '1';
  } catch {
    return false;
  }
}
