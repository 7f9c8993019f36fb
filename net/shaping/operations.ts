/** Shaping in the kernel worker: what it does for `ShapingPort`, place by place. */
import {
  endpointIdOfAlias,
  hostEndNameOf,
  hostIfbNameOf,
  linkAliasOf,
  SANDBOX_IFB_MARK,
  sandboxIfbNameOf,
} from '../../core/ids.ts';
import { linkGet, linkList } from '../macvlan.ts';
import type { Handlers, Operation } from '../operation.ts';
import type { LinkInfo } from '../port.ts';
import { withSocketHere, withSocketIn } from '../rtnetlink/namespace.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';
import type { EndpointTraffic, ShapeOutcome, ShapePlace, ShapePlan } from '../shaping-port.ts';
import type { WaitingRequests } from '../waiting-requests.ts';
import { bypassesRemove } from './bypasses.ts';
import { probeShaping, type ShapingFeatures } from './features.ts';
import { qdiscList } from './link-look.ts';
import { type LinkShaping, type LinkShapingOutcome, shapeLink } from './link-shaper.ts';
import { type IfbSpec, ownIfb, ownIfbDelete } from './own-ifb.ts';
import { StuckWatch } from './stuck-watch.ts';
import { linksWithCounters, trafficOf } from './traffic-look.ts';

type SandboxPlace = Extract<ShapePlace, { at: 'sandbox' }>;
type HostEnd = Extract<ShapePlace, { at: 'host-end' }>;

export interface ShapingOperations {
  readonly shapingProbe: Operation<undefined, ShapingFeatures>;
  readonly shapingApply: Operation<
    { readonly place: ShapePlace; readonly plan: ShapePlan; readonly features: ShapingFeatures },
    { readonly outcome?: ShapeOutcome; readonly unused: readonly IfbSpec[] }
  >;
  /** Deletes ifbs of ours; each takes some 20 ms. */
  readonly shapingSweep: Operation<{ readonly place: ShapePlace; readonly ifb: IfbSpec }, boolean>;
  readonly shapingBypasses: Operation<
    { readonly place: SandboxPlace; readonly endpointIds?: readonly string[] },
    string[]
  >;
  /** As many as there is time for, at least one. */
  readonly shapingTraffic: Operation<readonly ShapePlace[], (EndpointTraffic | undefined)[]>;
}

/** At so low a priority anything that waits goes first. */
const ANYTHING = 0;
/** Between two looks at what waits: about 2 ms. */
const CHUNK = 16;

const stuck = new StuckWatch();

export function shapingHandlers(waiting: WaitingRequests): Handlers<ShapingOperations> {
  return {
    shapingProbe: () => probeShaping(),
    shapingApply: ({ place, plan, features }) => {
      const tools = { features, stuck, nowMs: performance.now() };
      const apply = (
        socket: RtnetlinkSocket,
        shaping: LinkShaping | undefined,
      ): LinkShapingOutcome | undefined => shaping && shapeLink(socket, shaping, tools);
      if (place.at === 'host-end') {
        return withSocketHere((socket) => {
          const shaping = shapingOfHostEnd(socket, place, plan);
          return answer(apply(socket, shaping), shaping === undefined ? [] : [shaping.ifb], []);
        });
      }
      return (
        withSocketIn(place.namespacePath, (socket) => {
          const shaping = shapingInSandbox(place, plan);
          const outcome = apply(socket, shaping);
          return answer(outcome, [shaping.ifb], orphans(outcome?.links ?? linkList(socket)));
        }) ?? { unused: [] }
      );
    },
    shapingSweep: ({ place, ifb }) =>
      place.at === 'host-end'
        ? withSocketHere((socket) => ownIfbDelete(socket, ifb))
        : (withSocketIn(place.namespacePath, (socket) => ownIfbDelete(socket, ifb)) ?? false),
    shapingBypasses: ({ place: { namespacePath, linkIndex }, endpointIds }) =>
      withSocketIn(namespacePath, (socket) => bypassesRemove(socket, linkIndex, endpointIds)) ?? [],
    shapingTraffic: (places) => trafficOfSome(places, waiting),
  };
}

/** The host's end of a pair sends what the container receives. @returns undefined if it is gone, or not an endpoint's */
function shapingOfHostEnd(
  socket: RtnetlinkSocket,
  { linkName }: HostEnd,
  plan: ShapePlan,
): LinkShaping | undefined {
  const link = linkGet(socket, linkName);
  const endpointId = endpointIdOfAlias(link?.alias ?? '');
  if (link === undefined || endpointId === undefined) return undefined;
  return {
    linkIndex: link.linkIndex,
    key: linkName,
    ifb: { name: hostIfbNameOf(endpointId), alias: linkAliasOf(endpointId) },
    sending: 'in',
    ...(plan.in === undefined ? {} : { sends: plan.in }),
    ...(plan.out === undefined ? {} : { receives: plan.out }),
  };
}

function shapingInSandbox({ namespacePath, linkIndex }: SandboxPlace, plan: ShapePlan): LinkShaping {
  return {
    linkIndex,
    key: `${namespacePath} ${linkIndex}`,
    ifb: { name: sandboxIfbNameOf(linkIndex), alias: SANDBOX_IFB_MARK },
    sending: 'out',
    ...(plan.out === undefined ? {} : { sends: plan.out }),
    ...(plan.in === undefined ? {} : { receives: plan.in }),
  };
}

function answer(
  found: LinkShapingOutcome | undefined,
  own: readonly IfbSpec[],
  orphaned: readonly IfbSpec[],
): ShapingOperations['shapingApply']['result'] {
  if (found === undefined) return { unused: orphaned };
  const { ifbUnused, links: _, ...outcome } = found;
  return { outcome, unused: ifbUnused ? [...own, ...orphaned] : orphaned };
}

/** Ifbs of links that have left the sandbox (`docker network disconnect`): they stay behind. */
function orphans(links: readonly LinkInfo[]): IfbSpec[] {
  const needed = new Set(links.map(({ linkIndex }) => sandboxIfbNameOf(linkIndex)));
  const spec = { alias: SANDBOX_IFB_MARK };
  return links
    .filter((link) => ownIfb(link, spec) !== undefined && !needed.has(link.name))
    .map(({ name }) => ({ name, ...spec }));
}

function trafficOfSome(
  places: readonly ShapePlace[],
  waiting: WaitingRequests,
): (EndpointTraffic | undefined)[] {
  const found: (EndpointTraffic | undefined)[] = [];
  let hostEnds: ReadonlyMap<string, EndpointTraffic> | undefined;
  for (const place of places) {
    if (found.length > 0 && found.length % CHUNK === 0 && waiting.some(ANYTHING)) break;
    if (place.at === 'sandbox') {
      found.push(trafficInSandbox(place));
    } else {
      hostEnds ??= trafficOfHostEnds();
      found.push(hostEnds.get(place.linkName));
    }
  }
  return found;
}

function trafficInSandbox({ namespacePath, linkIndex }: SandboxPlace): EndpointTraffic | undefined {
  return withSocketIn(namespacePath, (socket) => {
    const links = linksWithCounters(socket);
    const link = links.find((one) => one.linkIndex === linkIndex);
    if (link === undefined) return undefined;
    const { sent, received } = trafficOf(link, sandboxIfbNameOf(linkIndex), links, qdiscList(socket));
    return { in: received, out: sent };
  });
}

/** Of all host ends that there are, by name: however many are asked for, the host's links are listed once. */
function trafficOfHostEnds(): ReadonlyMap<string, EndpointTraffic> {
  return withSocketHere((socket) => {
    const links = linksWithCounters(socket);
    const qdiscs = qdiscList(socket);
    const found = new Map<string, EndpointTraffic>();
    for (const link of links) {
      const endpointId = endpointIdOfAlias(link.alias ?? '');
      if (endpointId === undefined || link.name !== hostEndNameOf(endpointId)) continue;
      const { sent, received } = trafficOf(link, hostIfbNameOf(endpointId), links, qdiscs);
      found.set(link.name, { in: sent, out: received });
    }
    return found;
  });
}
