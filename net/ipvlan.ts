/**
 * Making ipvlan links: what the kernel worker does for `IpvlanPort`, over a socket that is handed in. Says what is
 * wrong in the words of the user's options before the kernel says EBUSY.
 *
 * @see linux/if_link.h IFLA_IPVLAN_*, drivers/net/ipvlan/ipvlan_main.c ipvlan_link_new
 */
import { createHash } from 'node:crypto';
import { Conflict, type KernelError, NotFound, Unsupported } from '../core/errors.ts';
import { linkDelete, linkGet } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { EBUSY, EINVAL, ENODEV, EOPNOTSUPP, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';

export interface IpvlanSpec {
  /** 1–15 bytes, no space, `/` or `:`. */
  readonly name: string;
  /** Name of the lower link, whose MAC the link shares. */
  readonly parent: string;
  /** IFLA_IFALIAS, our mark; 1–255 bytes. */
  readonly alias: string;
  /** The parent's, if not given. */
  readonly mtuBytes?: number;
}

export interface IpvlanOperations {
  readonly ipvlanAdd: Operation<IpvlanSpec, LinkInfo>;
  readonly ipvlanTry: Operation<string, undefined>;
}

export const ipvlanHandlers: Handlers<IpvlanOperations> = {
  ipvlanAdd: (spec) => withSocketHere((socket) => ipvlanAdd(socket, spec)),
  ipvlanTry: (parent) => withSocketHere((socket) => ipvlanTry(socket, parent)),
};

/** @see IpvlanPort.ipvlanAdd */
function ipvlanAdd(socket: RtnetlinkSocket, spec: IpvlanSpec): LinkInfo {
  const { name, alias } = spec;
  const parent = parentOf(socket, spec.parent);
  const standing = linkGet(socket, name);
  if (standing !== undefined) return takeAsMade(standing, spec, parent);

  const operation = `create ipvlan link "${name}" on "${spec.parent}"`;
  const kindData = link.ipvlanData();
  // Both in one system call: a kill between two would leave a link that nobody knows to be ours.
  const [refused, unmarked] = socket.batch([
    link.linkCreate(
      {
        name,
        parentIndex: parent.linkIndex,
        kind: 'ipvlan',
        kindData,
        ...(spec.mtuBytes === undefined ? {} : { mtuBytes: spec.mtuBytes }),
      },
      operation,
    ),
    link.linkAliasSet(name, alias, 'ipvlan', kindData, `${operation} and mark it`),
  ]);
  if (refused !== undefined) throw explain(refused, spec.parent);
  if (unmarked !== undefined) {
    linkDelete(socket, name);
    throw unmarked;
  }
  const made = linkGet(socket, name);
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  return made;
}

/** @see IpvlanPort.ipvlanTry */
function ipvlanTry(socket: RtnetlinkSocket, parentName: string): undefined {
  const parent = parentOf(socket, parentName);
  const name = `lt${createHash('sha256').update(parentName).digest('hex').slice(0, 12)}`;
  const operation = `create an ipvlan link on "${parentName}"`;
  const creation = { name, parentIndex: parent.linkIndex, kind: 'ipvlan', kindData: link.ipvlanData() };
  const [refused, undeleted] = socket.batch([
    link.linkCreate(creation, operation),
    link.linkDeleteByName(name, `delete link "${name}"`),
  ]);
  if (refused !== undefined) throw explain(refused, parentName);
  if (undeleted !== undefined) throw undeleted;
}

function parentOf(socket: RtnetlinkSocket, name: string): LinkInfo {
  const parent = linkGet(socket, name);
  if (parent !== undefined) return parent;
  throw new NotFound(
    `parent link "${name}" does not exist on this host: create it or choose another with -o parent=`,
  );
}

function takeAsMade(standing: LinkInfo, spec: IpvlanSpec, parent: LinkInfo): LinkInfo {
  const { kind, alias, parentIndex } = standing;
  if (kind === 'ipvlan' && alias === spec.alias && parentIndex === parent.linkIndex) return standing;
  throw new Conflict(
    `a link named "${spec.name}" exists already (kind ${kind ?? 'none'}, alias ${alias ?? 'none'}): ` +
      `it is not ours to change; remove it (ip link delete ${spec.name})`,
  );
}

function explain(refused: KernelError, parent: string): Error {
  switch (refused.errno) {
    case EOPNOTSUPP:
      return new Unsupported(
        'option mode: this kernel has no ipvlan links: load the module (modprobe ipvlan), or use a kernel with CONFIG_IPVLAN, or choose mode=macvlan',
      );
    case EBUSY:
      return new Conflict(
        `option mode: ipvlan cannot use ${parent}, because it is in use in a way that excludes it (macvlan links, a bridge or a bond): choose another -o parent=, or the mode that is in use there`,
      );
    case EINVAL:
      return new Unsupported(
        `option mode: ipvlan cannot use ${parent}, because it is no Ethernet link, or a loopback: choose another -o parent=`,
      );
    default:
      return refused;
  }
}
