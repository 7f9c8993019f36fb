/**
 * Shims: what the kernel worker does for `ShimPort` about the link itself. Must not touch a link without our mark.
 *
 * What is set on it, and why:
 * - `arp_filter`: it answers ARP only to those to whom a route leads out through it. Without, it would answer for the
 *   host's addresses beside the parent, and the segment would send to two MACs in turns.
 * - `rp_filter`: what others send to all (broadcasts) comes in by the parent already.
 * - no IPv6 addresses of its own, and no router advertisements: they would lead the host's traffic through it.
 *
 * @see Documentation/networking/ip-sysctl.rst; net/ipv4/devinet.c inet_set_link_af; net/ipv6/addrconf.c inet6_set_link_af
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { Conflict, NotFound } from '../core/errors.ts';
import { linkGet } from './macvlan.ts';
import type { Handlers, Operation } from './operation.ts';
import type { LinkInfo } from './port.ts';
import { ENODEV, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import { withSocketHere } from './rtnetlink/namespace.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { attribute, nested, u32 } from './rtnetlink/wire.ts';
import type { ShimAdded, ShimSpec } from './shim-types.ts';

export interface ShimOperations {
  readonly shimAdd: Operation<ShimSpec, ShimAdded>;
  readonly shimDelete: Operation<{ readonly name: string; readonly alias: string }, boolean>;
}

export const shimHandlers: Handlers<ShimOperations> = {
  shimAdd: (spec) => withSocketHere((socket) => shimAdd(socket, spec)),
  shimDelete: (shim) => withSocketHere((socket) => shimDelete(socket, shim)),
};

const IPV6_SETTINGS = ['accept_ra', 'autoconf'] as const;

/** @see ShimPort.shimAdd */
function shimAdd(socket: RtnetlinkSocket, spec: ShimSpec): ShimAdded {
  const { name } = spec;
  const parent = linkGet(socket, spec.parent);
  if (parent === undefined) {
    throw new NotFound(
      `parent link "${spec.parent}" does not exist on this host: create it or choose another with -o parent=`,
    );
  }
  const standing = linkGet(socket, name);
  if (standing === undefined) make(socket, spec, parent);
  else checkIsShim(standing, spec, parent);

  set(socket, name);
  const unset = ipv6Settings(name);
  socket.request(link.linkUp(name, `set link "${name}" up`));
  const made = linkGet(socket, name);
  if (made === undefined)
    throw kernelError(`create shim "${name}"`, ENODEV, undefined, 'somebody deleted it at once');
  return { link: made, unset };
}

function make(socket: RtnetlinkSocket, { name, alias, parent }: ShimSpec, parentLink: LinkInfo): void {
  const operation = `create shim "${name}" on "${parent}"`;
  const kindData = link.macvlanData('bridge');
  // Both in one system call: a kill between two would leave a link that nobody knows to be ours.
  const [refused, unmarked] = socket.batch([
    link.linkCreate(
      {
        name,
        parentIndex: parentLink.linkIndex,
        macAddress: shimMac(parentLink),
        kind: 'macvlan',
        kindData,
      },
      operation,
    ),
    link.linkAliasSet(name, alias, 'macvlan', kindData, `${operation} and mark it`),
  ]);
  if (refused !== undefined) throw refused;
  if (unmarked === undefined) return;
  socket.request(link.linkDeleteByName(name, `delete link "${name}"`));
  throw unmarked;
}

/** Given by us, for a link without one of its own gets another from udev; the same each time, as long as the NIC is. */
function shimMac({ macAddress }: LinkInfo): string {
  const bytes =
    macAddress === undefined ? randomBytes(5) : createHash('sha256').update(`shim ${macAddress}`).digest();
  return ['02', ...[...bytes.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

function checkIsShim(standing: LinkInfo, { name, alias }: ShimSpec, parent: LinkInfo): void {
  const { kind, macvlanMode, parentIndex } = standing;
  const isShim = kind === 'macvlan' && macvlanMode === 'bridge' && standing.alias === alias;
  if (isShim && parentIndex === parent.linkIndex) return;
  throw new Conflict(
    `a link named "${name}" exists already and is no shim on ${parent.name}: it is not ours to change; remove it (ip link delete ${name})`,
  );
}

function set(socket: RtnetlinkSocket, name: string): void {
  const ipv4 = nested(
    uapi.IFLA_INET_CONF,
    attribute(uapi.IPV4_DEVCONF_ARPFILTER, u32(1)),
    attribute(uapi.IPV4_DEVCONF_RP_FILTER, u32(1)),
  );
  const ipv6 = attribute(uapi.IFLA_INET6_ADDR_GEN_MODE, Buffer.from([uapi.IN6_ADDR_GEN_MODE_NONE]));
  const [refused] = socket.batch([
    link.linkAfSpec(name, uapi.AF_INET, [ipv4], `set arp_filter of "${name}"`),
    // Refused where the kernel or the link has no IPv6; then nothing is lacking.
    link.linkAfSpec(name, uapi.AF_INET6, [ipv6], `set addr_gen_mode of "${name}"`),
  ]);
  if (refused !== undefined) throw refused;
}

/** Netlink cannot set them. @returns those that could not be set */
function ipv6Settings(name: string): string[] {
  const folder = `/proc/sys/net/ipv6/conf/${name}`;
  if (!existsSync(folder)) return existsSync('/proc/sys/net') ? [] : [...IPV6_SETTINGS];
  return IPV6_SETTINGS.filter((setting) => {
    try {
      writeFileSync(`${folder}/${setting}`, '0');
      return false;
    } catch {
      return true;
    }
  });
}

/** @see ShimPort.shimDelete */
function shimDelete(
  socket: RtnetlinkSocket,
  { name, alias }: { readonly name: string; readonly alias: string },
): boolean {
  const found = linkGet(socket, name);
  if (found?.name !== name || found.kind !== 'macvlan' || found.alias !== alias) return false;
  const [refused] = socket.batch([link.linkDelete(found.linkIndex, `delete link "${name}"`)]);
  if (refused === undefined) return true;
  if (refused.errno === ENODEV) return false;
  throw refused;
}
