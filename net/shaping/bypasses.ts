/**
 * Links in a sandbox that step around the limits of another one: those that a container with NET_ADMIN makes upon its link
 * land on the link's own parent, out in the host (`ip link add link eth0 type macvlan`). Over a socket that is handed in.
 *
 * @see drivers/net/macvlan.c macvlan_common_newlink, ipvlan_main.c ipvlan_link_new (the lower link's lower link)
 */
import { endpointIdOfAlias } from '../../core/ids.ts';
import { linkDelete, linkDump, readLink, readOuterParent } from '../rtnetlink/link.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';

const KINDS = ['macvlan', 'macvtap', 'ipvlan', 'ipvtap'];

/**
 * @param linkIndex of our link
 * @param endpointIds whose marks count; absent: every endpoint's mark does
 * @returns names of those removed
 */
export function bypassesRemove(
  socket: RtnetlinkSocket,
  linkIndex: number,
  endpointIds: readonly string[] | undefined,
): string[] {
  const links = socket.dump(linkDump('list the links of a sandbox')).flatMap(({ payload }) => {
    const link = readLink(payload);
    return link === undefined ? [] : [{ ...link, parent: readOuterParent(payload) }];
  });
  const parent = links.find((link) => link.linkIndex === linkIndex)?.parent;
  if (parent === undefined) return [];
  const isOurs = (alias = ''): boolean => {
    const endpointId = endpointIdOfAlias(alias);
    return endpointId !== undefined && (endpointIds?.includes(endpointId) ?? true);
  };
  const found = links.filter(
    (link) =>
      link.linkIndex !== linkIndex &&
      KINDS.includes(link.kind ?? '') &&
      link.parent?.linkIndex === parent.linkIndex &&
      link.parent.nsid === parent.nsid &&
      !isOurs(link.alias),
  );
  if (found.length === 0) return [];
  const refused = socket.batch(
    found.map((link) => linkDelete(link.linkIndex, `remove the link "${link.name}" of a sandbox`)),
  );
  return found.filter((_, index) => refused[index] === undefined).map(({ name }) => name);
}
