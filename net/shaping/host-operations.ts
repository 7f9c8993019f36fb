/** Shaping on the host's side of a parent, in the kernel worker: what it does for `HostShapingPort`. */
import { NotFound, Unsupported } from '../../core/errors.ts';
import { endpointIdOfAlias, parentIfbMarkOf, parentIfbNameOf, parentOfIfbMark } from '../../core/ids.ts';
import type { Direction } from '../../core/limit.ts';
import { linkList } from '../macvlan.ts';
import type { Handlers, Operation } from '../operation.ts';
import type { LinkInfo } from '../port.ts';
import { withSocketHere } from '../rtnetlink/namespace.ts';
import type { NetlinkRequest, RtnetlinkSocket } from '../rtnetlink/socket.ts';
import { qdiscAdd, qdiscDelete } from '../rtnetlink/traffic-control.ts';
import {
  TC_H_CLSACT,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_HANDLE,
  TC_H_CLSACT_INGRESS,
} from '../rtnetlink/uapi.ts';
import type { EndpointTraffic, HostShapedEndpoint } from '../shaping-port.ts';
import { lacking, type ShapingFeatures } from './features.ts';
import { hookStep } from './hook-filter.ts';
import { foreignRoot, freeHooks, lookAtHooks, REDIRECT_PREFERENCE } from './host-hooks.ts';
import { isHostTree, lookAtTree } from './host-look.ts';
import { type TreePlan, treeRemoval, treeSteps } from './host-steps.ts';
import { trafficByMac } from './host-traffic.ts';
import { endpointClass, type Side } from './host-tree.ts';
import { type QdiscLook, qdiscList, rootOf } from './link-look.ts';
import { ownIfb, ownIfbDelete, readyIfb } from './own-ifb.ts';
import { isPriorityFilter, priorityFilterDelete, withPriorityProgram } from './priority-filter.ts';

export interface HostShapingOperations {
  readonly hostShapingSettle: Operation<
    {
      readonly parent: string;
      readonly endpoints: readonly HostShapedEndpoint[];
      readonly linkBitsPerSecond: Readonly<Record<Direction, number>>;
      readonly features: ShapingFeatures;
    },
    string[]
  >;
  readonly hostShapingRemove: Operation<string, string[]>;
  readonly hostShapingParents: Operation<undefined, string[]>;
  /** By MAC address. */
  readonly hostShapingTraffic: Operation<
    { readonly parent: string; readonly macAddresses: readonly string[] },
    ReadonlyMap<string, EndpointTraffic>
  >;
}

export const hostShapingHandlers: Handlers<HostShapingOperations> = {
  hostShapingSettle: ({ parent, endpoints, linkBitsPerSecond, features }) =>
    withSocketHere((socket) => settle(socket, parent, endpoints, linkBitsPerSecond, features)),
  hostShapingRemove: (parent) => withSocketHere((socket) => remove(socket, parent)),
  hostShapingParents: () => withSocketHere((socket) => parentsOf(linkList(socket), qdiscList(socket))),
  hostShapingTraffic: ({ parent, macAddresses }) =>
    withSocketHere((socket) => trafficByMac(socket, parent, macAddresses)),
};

function settle(
  socket: RtnetlinkSocket,
  parent: string,
  endpoints: readonly HostShapedEndpoint[],
  linkBitsPerSecond: Readonly<Record<Direction, number>>,
  features: ShapingFeatures,
): string[] {
  const needed = ['tbf', 'htb', 'clsact', 'ifb', 'redirect', 'bpf'] as const;
  if (needed.some((part) => features[part] !== true)) {
    throw new Unsupported(`enforce=host cannot be had: ${lacking(needed, features)}; use enforce=sandbox`);
  }
  const links = linkList(socket);
  const link = links.find(({ name }) => name === parent);
  if (link === undefined) throw new NotFound(`parent link ${parent} does not exist on this host`);
  const qdiscs = qdiscList(socket);
  const spec = ifbOf(parent);
  const foundIfb = links.find(({ name }) => name === spec.name);
  const hooks = freeHooks(socket, link, qdiscs, ownIfb(foundIfb, spec)?.linkIndex);
  const standing = lookAtTree(socket, link.linkIndex, qdiscs);
  if (standing.root !== undefined && !isHostTree(standing.root)) throw foreignRoot(parent, standing.root);

  const ifb = readyIfb(socket, spec, foundIfb);
  const ownMacs = ownMacsOf(link, links);
  const plan = (side: Side): TreePlan => ({
    side,
    endpoints: endpoints.map((endpoint) => endpointClass(endpoint, side)),
    ownMacs,
  });
  const into = treeSteps(
    plan({ linkIndex: ifb.linkIndex, mac: 'destination', linkBitsPerSecond: linkBitsPerSecond.in }),
    lookAtTree(socket, ifb.linkIndex, qdiscs),
  );
  const out = treeSteps(
    plan({ linkIndex: link.linkIndex, mac: 'source', linkBitsPerSecond: linkBitsPerSecond.out }),
    standing,
  );
  const hook = hookStep(
    {
      linkIndex: link.linkIndex,
      parent: TC_H_CLSACT_INGRESS,
      preference: REDIRECT_PREFERENCE,
      action: { kind: 'redirect', toLinkIndex: ifb.linkIndex },
    },
    hooks.ingress,
  );
  const clears = !hooks.egress.some(isPriorityFilter);
  const first = hooks.standing ? [] : [clsactAdd(link)];
  // What is received is shaped before it is handed to the shaper.
  write(socket, link, first, [...into.requests, ...ifb.raising, ...out.requests, ...hook.requests], clears);
  return [
    ...(ifb.mended === undefined ? [] : [`in: ${ifb.mended}`]),
    ...into.mended.map((what) => `in: ${what}`),
    ...(hook.mended === undefined ? [] : [`in: ${hook.mended}`]),
    ...(clears ? ['out: the filter that clears priorities was missing'] : []),
    ...out.mended.map((what) => `out: ${what}`),
  ];
}

/** @param first the clsact, if it is missing: then the filter that clears priorities, before the tree that takes them at their word */
function write(
  socket: RtnetlinkSocket,
  link: LinkInfo,
  first: readonly NetlinkRequest[],
  requests: readonly NetlinkRequest[],
  clears: boolean,
): void {
  if (!clears) {
    batch(socket, [...first, ...requests]);
    return;
  }
  withPriorityProgram((filterAt) => {
    const clearing = filterAt(link.linkIndex, TC_H_CLSACT_EGRESS, `clear priorities on ${link.name}`);
    batch(socket, [...first, clearing, ...requests]);
  });
}

/** @throws KernelError what was refused first; the rest is done all the same */
function batch(socket: RtnetlinkSocket, requests: readonly NetlinkRequest[]): void {
  if (requests.length === 0) return;
  const refused = socket.batch(requests).find((refusal) => refusal !== undefined);
  if (refused !== undefined) throw refused;
}

function remove(socket: RtnetlinkSocket, parent: string): string[] {
  const links = linkList(socket);
  const link = links.find(({ name }) => name === parent);
  const spec = ifbOf(parent);
  const ifb = ownIfb(
    links.find(({ name }) => name === spec.name),
    spec,
  );
  const mended: string[] = [];
  if (link !== undefined) {
    const { linkIndex } = link;
    const qdiscs = qdiscList(socket);
    const hooks = lookAtHooks(socket, link, qdiscs);
    const hook = hookStep(
      {
        linkIndex,
        parent: TC_H_CLSACT_INGRESS,
        preference: REDIRECT_PREFERENCE,
        ...(ifb === undefined ? {} : { ifbIndex: ifb.linkIndex }),
      },
      hooks.ingress,
    );
    const cleared = hooks.egress.filter(isPriorityFilter);
    const requests = [
      ...hook.requests,
      ...treeRemoval(linkIndex, lookAtTree(socket, linkIndex, qdiscs)),
      ...(cleared.length > 0
        ? [priorityFilterDelete(linkIndex, TC_H_CLSACT_EGRESS, `let priorities be on ${parent}`)]
        : []),
    ];
    if (requests.length > 0) {
      batch(socket, requests);
      mended.push('the htb and the filters are removed');
      const left = lookAtHooks(socket, link, qdiscList(socket));
      if (left.standing && left.kind === 'clsact' && left.ingress.length + left.egress.length === 0) {
        socket.batch([
          qdiscDelete({ linkIndex, handle: TC_H_CLSACT_HANDLE, parent: TC_H_CLSACT }, 'remove the clsact'),
        ]);
      }
    }
  }
  if (ownIfbDelete(socket, spec)) mended.push('the ifb is removed');
  return mended;
}

function clsactAdd({ linkIndex, name }: LinkInfo): NetlinkRequest {
  const qdisc = { linkIndex, handle: TC_H_CLSACT_HANDLE, parent: TC_H_CLSACT, kind: 'clsact' };
  return qdiscAdd(qdisc, `make a clsact on ${name}`);
}

/** The parent's, and those of the host's own links upon it: VLANs and shims, but not links that wait for their sandbox. */
function ownMacsOf(parent: LinkInfo, links: readonly LinkInfo[]): string[] {
  const own = links.filter(
    ({ linkIndex, parentIndex, alias }) =>
      linkIndex === parent.linkIndex ||
      (parentIndex === parent.linkIndex && endpointIdOfAlias(alias ?? '') === undefined),
  );
  return [...new Set(own.map(({ macAddress }) => macAddress).filter((mac) => mac !== undefined))];
}

function ifbOf(parent: string): { readonly name: string; readonly alias: string } {
  return { name: parentIfbNameOf(parent), alias: parentIfbMarkOf(parent) };
}

/** Also those whose ifb has outlived them. */
function parentsOf(links: readonly LinkInfo[], qdiscs: readonly QdiscLook[]): string[] {
  const shaped = links.flatMap(({ name, linkIndex, alias }) => {
    const parent = parentOfIfbMark(alias ?? '');
    if (parent !== undefined) return [parent];
    const root = rootOf(qdiscs, linkIndex);
    return root !== undefined && isHostTree(root) ? [name] : [];
  });
  return [...new Set(shaped)];
}
