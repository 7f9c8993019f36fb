/**
 * VLAN sub-interfaces: what the kernel worker does for `VlanPort`, over a socket that is handed in. Must not
 * decide who needs one, nor touch a link without our mark.
 *
 * A sub-interface follows its lower link by itself: the kernel takes it down and up with it, and destroys it (with all
 * that stands on it) when the lower link goes.
 *
 * @see linux/if_link.h IFLA_VLAN_*, net/8021q/vlan_netlink.c vlan_newlink, net/8021q/vlan_dev.c vlan_dev_open,
 *   net/8021q/vlan.c vlan_device_event
 */
import { constants } from 'node:os';
import { Conflict, KernelError, NotFound, Unsupported } from '../core/errors.ts';
import { lastingAddressOf } from './bridge-addressing.ts';
import { linkGet, linkList } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { EEXIST, ENODEV, EOPNOTSUPP, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import { isVlanOf, type MarkedLink, type VlanAdded, type VlanSpec } from './vlan-port.ts';

export interface VlanOperations {
  readonly vlanAdd: Operation<VlanSpec, VlanAdded>;
  readonly vlanDelete: Operation<MarkedLink, boolean>;
}

export const vlanHandlers: Handlers<VlanOperations> = {
  vlanAdd: (spec) => withSocketHere((socket) => vlanAdd(socket, spec)),
  vlanDelete: (marked) => withSocketHere((socket) => vlanDelete(socket, marked)),
};

/** vlan_dev_open refuses while the lower link is down. */
const { ENETDOWN } = constants.errno;

/** @see VlanPort.vlanAdd */
function vlanAdd(socket: RtnetlinkSocket, spec: VlanSpec): VlanAdded {
  const lower = linkGet(socket, spec.lower);
  if (lower === undefined) {
    throw new NotFound(
      `link ${spec.lower} does not exist on this host, so VLAN ${spec.vlanId} of it cannot be made: create it, or choose another with -o parent=`,
    );
  }
  const standing = linkGet(socket, spec.name);
  if (standing !== undefined) return { link: take(socket, standing, spec, lower), made: false };

  const { vlanId, name, alias } = spec;
  const operation = `create VLAN ${vlanId} of "${spec.lower}" as link "${name}"`;
  const kindData = link.vlanData(vlanId);
  // All in one system call: a kill between two would leave a link that nobody knows to be ours.
  const [refused, unmarked, notUp] = socket.batch([
    link.linkCreate({ name, parentIndex: lower.linkIndex, kind: 'vlan', kindData }, operation),
    link.linkAliasSet(name, alias, 'vlan', kindData, `${operation} and mark it`),
    link.linkUp(name, `set link "${name}" up`),
  ]);
  if (refused !== undefined) {
    // Somebody was faster, and has our mark now: without it his link is never taken for ours.
    const his = linkGet(socket, name);
    if (his?.kind === 'vlan' && his.alias === alias)
      socket.batch([link.linkAliasSet(his.name, '', 'vlan', kindData, `unmark link "${his.name}"`)]);
    throw explain(socket, refused, spec, lower);
  }
  const failed = unmarked ?? (isErrno(notUp, ENETDOWN) ? undefined : notUp);
  const made = linkGet(socket, name);
  if (failed !== undefined) {
    if (made !== undefined) socket.request(link.linkDelete(made.linkIndex, `delete link "${name}"`));
    throw failed;
  }
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  return { link: made, made: true };
}

function take(socket: RtnetlinkSocket, standing: LinkInfo, spec: VlanSpec, lower: LinkInfo): LinkInfo {
  if (!isVlanOf(standing, lower, spec.vlanId)) throw taken(standing, spec);
  if (standing.up || standing.alias !== spec.alias || !lower.up) return standing;
  socket.request(link.linkUp(spec.name, `set link "${spec.name}" up`));
  return linkGet(socket, spec.name) ?? standing;
}

/** @see VlanPort.vlanDelete */
function vlanDelete(socket: RtnetlinkSocket, { name, alias }: MarkedLink): boolean {
  const found = linkGet(socket, name);
  if (found?.name !== name || found.kind !== 'vlan' || found.alias !== alias) return false;
  if (found.masterIndex !== undefined || lastingAddressOf(socket, found) !== undefined) return false;
  try {
    socket.request(link.linkDelete(found.linkIndex, `delete link "${name}"`));
    return true;
  } catch (error) {
    if (isErrno(error, ENODEV)) return false;
    throw error;
  }
}

function taken({ kind, vlanId, serviceVlan }: LinkInfo, { name, lower, vlanId: wanted }: VlanSpec): Conflict {
  const tag = serviceVlan === true ? '802.1ad VLAN' : 'VLAN';
  const other = vlanId === wanted && serviceVlan === undefined ? ' of another link' : '';
  const what = kind === 'vlan' ? `${tag} ${vlanId}${other}` : `of kind ${kind ?? 'device'}`;
  return new Conflict(
    `link ${name} exists, but is not VLAN ${wanted} of ${lower} (it is ${what}): rename it, or give the right sub-interface as -o parent=`,
  );
}

function explain(socket: RtnetlinkSocket, refused: KernelError, spec: VlanSpec, lower: LinkInfo): Error {
  const { name, vlanId } = spec;
  if (isErrno(refused, EEXIST)) {
    const other = linkList(socket).find((found) => isVlanOf(found, lower, vlanId));
    const where =
      other === undefined
        ? 'in another network namespace: remove it there'
        : `by the name ${other.name}: give that as -o parent=`;
    return new Conflict(`VLAN ${vlanId} of ${spec.lower} has a sub-interface already, ${where}`);
  }
  if (!isErrno(refused, EOPNOTSUPP)) return refused;
  const { kernelText } = refused.details;
  return new Unsupported(
    kernelText === 'Unknown device type'
      ? `VLAN sub-interface ${name} cannot be made, because this kernel has no 802.1Q: modprobe 8021q, or use a kernel with CONFIG_VLAN_8021Q`
      : `VLAN sub-interface ${name} cannot be made, because ${spec.lower} does not carry VLANs: choose another link as -o parent=`,
  );
}

function isErrno(error: unknown, errno: number): boolean {
  return error instanceof KernelError && error.errno === errno;
}
