/** The hooks of a parent that others may use, too: what stands there, and what of it is in the way. */
import { Conflict } from '../../core/errors.ts';
import type { LinkInfo } from '../port.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_HANDLE, TC_H_CLSACT_INGRESS } from '../rtnetlink/uapi.ts';
import { isItem, isOurs } from './hook-filter.ts';
import { type FilterLook, filterList, type QdiscLook } from './link-look.ts';
import { isPriorityFilter, PRIORITY_FILTER_PREFERENCE } from './priority-filter.ts';

/** Filters of the host's own may go first. */
export const REDIRECT_PREFERENCE = 2;

export interface HostHooks {
  readonly standing: boolean;
  readonly kind?: string;
  readonly ingress: readonly FilterLook[];
  readonly egress: readonly FilterLook[];
}

export function lookAtHooks(
  socket: RtnetlinkSocket,
  { linkIndex }: LinkInfo,
  qdiscs: readonly QdiscLook[],
): HostHooks {
  const found = qdiscs.find((one) => one.linkIndex === linkIndex && one.handle === TC_H_CLSACT_HANDLE);
  if (found?.kind !== 'clsact') {
    return {
      standing: found !== undefined,
      ...(found === undefined ? {} : { kind: found.kind }),
      ingress: [],
      egress: [],
    };
  }
  return {
    standing: true,
    kind: found.kind,
    ingress: filterList(socket, linkIndex, TC_H_CLSACT_INGRESS),
    egress: filterList(socket, linkIndex, TC_H_CLSACT_EGRESS),
  };
}

/**
 * @param ifbIndex of our ifb, if it stands, by which our own filter is known
 * @throws Conflict if what somebody has put there is in the way
 */
export function freeHooks(
  socket: RtnetlinkSocket,
  link: LinkInfo,
  qdiscs: readonly QdiscLook[],
  ifbIndex: number | undefined,
): HostHooks {
  const hooks = lookAtHooks(socket, link, qdiscs);
  const { name } = link;
  if (hooks.kind === 'ingress') {
    throw new Conflict(
      `parent link ${name} has a qdisc ingress, where enforce=host needs clsact: replace it (tc qdisc replace dev ${name} clsact takes the same filters), or use enforce=sandbox`,
    );
  }
  // Beside each filter its kind is listed, with handle 0.
  const before = hooks.egress.find(
    (one) =>
      one.priority === PRIORITY_FILTER_PREFERENCE &&
      !isPriorityFilter(one) &&
      (one.kind !== 'bpf' || one.handle !== 0),
  );
  const beside = hooks.ingress.find(
    (one) =>
      one.priority === REDIRECT_PREFERENCE && (one.kind !== 'u32' || (isItem(one) && !isOurs(one, ifbIndex))),
  );
  const foreign = before ?? beside;
  if (foreign === undefined) return hooks;
  throw new Conflict(
    `parent link ${name} has a filter ${foreign.kind} of somebody at preference ${foreign.priority}, which enforce=host needs: move it to another one, or use enforce=sandbox`,
  );
}

export function foreignRoot(parent: string, { kind, handle }: QdiscLook): Conflict {
  return new Conflict(
    `parent link ${parent} has a root qdisc ${kind} ${(handle >>> 16).toString(16)}: of somebody, whose place enforce=host needs: remove it (tc qdisc del dev ${parent} root), or use enforce=sandbox`,
  );
}
