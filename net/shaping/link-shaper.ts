/**
 * Puts shapes in force on one link, over a socket that is handed in: looks, and writes what differs. Knows links, not
 * sandboxes: what the link *sends* is shaped at its root, what it *receives* on an ifb that the ingress hook hands it to.
 *
 * INVARIANTS
 * - The ifb is up and has its shaper before the filter names it: one that is down drops everything.
 * - A clsact is shared with others and never removed. A qdisc `ingress` in its place has the hook for what is received, too.
 *
 * @see net/sched/act_mirred.c, drivers/net/ifb.c
 */
import { Conflict, KernelError, Unsupported } from '../../core/errors.ts';
import type { Direction } from '../../core/limit.ts';
import type { LinkInfo } from '../port.ts';
import type { NetlinkRequest, RtnetlinkSocket } from '../rtnetlink/socket.ts';
import { qdiscAdd } from '../rtnetlink/traffic-control.ts';
import { TC_H_CLSACT, TC_H_CLSACT_EGRESS, TC_H_CLSACT_HANDLE } from '../rtnetlink/uapi.ts';
import type { Shape, ShapeOutcome } from '../shaping-port.ts';
import { type ShapingFeatures, type Way, wayOfReceiving, wayOfSending } from './features.ts';
import { isOurHandle } from './handles.ts';
import { EGRESS_PREFERENCE, hookStep } from './hook-filter.ts';
import { ingressParent, type LinkLook, lookAtLink, type QdiscsLook } from './link-look.ts';
import { type IfbSpec, ownIfb, type ReadyIfb, readyIfb } from './own-ifb.ts';
import { isPriorityFilter, priorityFilterDelete, withPriorityProgram } from './priority-filter.ts';
import { rootStep, type Step } from './root-shaper.ts';
import type { StuckWatch } from './stuck-watch.ts';

export interface LinkShaping {
  readonly linkIndex: number;
  /** Of the place, for `StuckWatch`. */
  readonly key: string;
  readonly ifb: IfbSpec;
  readonly sends?: Shape;
  readonly receives?: Shape;
  /** What the container calls what the link sends. */
  readonly sending: Direction;
}

export interface ShapingTools {
  readonly features: ShapingFeatures;
  readonly stuck: StuckWatch;
  readonly nowMs: number;
}

export interface LinkShapingOutcome extends ShapeOutcome {
  /** Nothing is handed to the ifb any more; deleting it takes tens of milliseconds. */
  readonly ifbUnused: boolean;
  /** As they were found, of the whole namespace. */
  readonly links: readonly LinkInfo[];
}

/** Of a policer it is large: nothing waits there, and TCP needs room. */
const POLICE_BURST_SECONDS = 0.2;
/** Somebody else changed the same at the same time. */
const TRIES = 2;

/**
 * Idempotent.
 * @returns undefined if the link is gone
 * @throws Unsupported if a wanted direction can be enforced in no way, Conflict, both before anything is written;
 *   KernelError
 */
export function shapeLink(
  socket: RtnetlinkSocket,
  shaping: LinkShaping,
  tools: ShapingTools,
): LinkShapingOutcome | undefined {
  const ways = waysOf(shaping, tools.features);
  for (let tries = 1; ; tries++) {
    const look = lookAtLink(socket, shaping.linkIndex, shaping.ifb.name);
    if (look === undefined) return undefined;
    try {
      return settle(socket, shaping, ways, look, tools);
    } catch (error) {
      if (!(error instanceof KernelError) || tries >= TRIES) throw error;
    }
  }
}

/** Of the directions that are wanted. */
interface Ways {
  readonly sending: Way | undefined;
  readonly receiving: Way | undefined;
}

function waysOf({ sends, receives, sending }: LinkShaping, features: ShapingFeatures): Ways {
  const check = (way: Way, direction: Direction): Way => {
    if (way.how !== undefined) return way;
    throw new Unsupported(
      `net_${direction} cannot be enforced: ${way.because ?? 'nothing is there'}; load the kernel's module, or use a kernel that has it`,
    );
  };
  return {
    sending: sends && check(wayOfSending(features), sending),
    receiving: receives && check(wayOfReceiving(features), opposite(sending)),
  };
}

function settle(
  socket: RtnetlinkSocket,
  shaping: LinkShaping,
  ways: Ways,
  look: LinkLook,
  tools: ShapingTools,
): LinkShapingOutcome {
  const sending = stepsOfSending(shaping, ways.sending?.how, look, tools);
  const byIfb = ways.receiving !== undefined && ways.receiving.how !== 'police';
  const ifb = byIfb ? readyIfb(socket, shaping.ifb, look.ifb) : undefined;
  const receiving = stepsOfReceiving(shaping, ways.receiving?.how, look, tools, ifb);
  const clears = ways.sending?.how === 'htb' && tools.features.bpf === true;
  write(socket, look, [...sending, ...receiving], clears);
  const [sent, received] = [shaping.sending, opposite(shaping.sending)];
  const fallback = [
    ways.sending?.because === undefined ? [] : [`${sent}: ${ways.sending.because}`],
    ways.receiving?.because === undefined ? [] : [`${received}: ${ways.receiving.because}`],
  ].flat();
  return {
    ...(ways.sending?.how === undefined ? {} : { [sent]: ways.sending.how }),
    ...(ways.receiving?.how === undefined ? {} : { [received]: ways.receiving.how }),
    ...(fallback.length === 0 ? {} : { fallback: fallback.join('; ') }),
    mended: [...told(sent, sending), ...told(received, ifb === undefined ? receiving : [ifb, ...receiving])],
    links: look.links,
    ifbUnused: !byIfb && ownIfb(look.ifb, shaping.ifb) !== undefined,
  };
}

function stepsOfSending(
  { linkIndex, key, sends }: LinkShaping,
  how: Way['how'],
  look: LinkLook,
  tools: ShapingTools,
): Step[] {
  const queued = how === 'police' ? undefined : sends;
  const root = rootStep(
    {
      linkIndex,
      how: how === 'htb' ? 'htb' : 'tbf',
      stuck: queued !== undefined && isStuck(`${key} sends`, queued, look.qdiscs, tools),
      ...(queued === undefined ? {} : { shape: queued }),
    },
    look.qdiscs,
  );
  if (look.hook === 'ingress' && how === 'police') throw needsClsact(look);
  if (look.hook === 'ingress') return [root];
  const hook = { linkIndex, parent: TC_H_CLSACT_EGRESS, preference: EGRESS_PREFERENCE };
  const policed = how === 'police' && sends !== undefined ? { action: police(sends) } : {};
  return [root, hookStep({ ...hook, ...policed }, look.egress)];
}

function stepsOfReceiving(
  { linkIndex, key, receives, ifb }: LinkShaping,
  how: Way['how'],
  look: LinkLook,
  tools: ShapingTools,
  ready: ReadyIfb | undefined,
): Step[] {
  const hook = { linkIndex, parent: ingressParent(look.hook) };
  if (receives === undefined || ready === undefined) {
    const own = ownIfb(look.ifb, ifb);
    const known = own === undefined ? {} : { ifbIndex: own.linkIndex };
    const policed = receives === undefined ? {} : { action: police(receives) };
    return [hookStep({ ...hook, ...known, ...policed }, look.ingress)];
  }
  const { linkIndex: ifbIndex, raising } = ready;
  // Of an ifb that was made just now the look knows nothing.
  const standing = look.ifb?.linkIndex === ifbIndex ? look.ifbQdiscs : { all: [], classes: [] };
  const root = rootStep(
    {
      linkIndex: ifbIndex,
      how: how === 'htb' ? 'htb' : 'tbf',
      stuck: isStuck(`${key} receives`, receives, standing, tools),
      shape: receives,
    },
    standing,
  );
  const redirect = hookStep({ ...hook, action: { kind: 'redirect', toLinkIndex: ifbIndex } }, look.ingress);
  return [root, { requests: raising }, redirect];
}

/**
 * In one system call. What is received is shaped before it is handed to the shaper.
 * @param clears priorities on what the link sends must be cleared, for htb takes them at their word
 * @throws KernelError what was refused first
 */
function write(socket: RtnetlinkSocket, look: LinkLook, steps: readonly Step[], clears: boolean): void {
  const { linkIndex, name } = look.link;
  const standing = look.egress.some(isPriorityFilter);
  const requests = steps.flatMap((step) => step.requests);
  const filtered = steps.some(({ needsHook }) => needsHook === true) || (clears && !standing);
  const qdisc = { linkIndex, handle: TC_H_CLSACT_HANDLE, parent: TC_H_CLSACT, kind: 'clsact' };
  if (filtered && look.hook === undefined) requests.unshift(qdiscAdd(qdisc, `make a clsact on link ${name}`));
  const operation = `clear priorities on link ${name}`;
  if (clears && !standing) {
    if (look.hook === 'ingress') throw needsClsact(look);
    withPriorityProgram((filterAt) =>
      send(socket, [...requests, filterAt(linkIndex, TC_H_CLSACT_EGRESS, operation)]),
    );
    return;
  }
  if (!clears && standing) requests.push(priorityFilterDelete(linkIndex, TC_H_CLSACT_EGRESS, operation));
  send(socket, requests);
}

function send(socket: RtnetlinkSocket, requests: readonly NetlinkRequest[]): void {
  if (requests.length === 0) return;
  const refused = socket.batch(requests).find((refusal) => refusal !== undefined);
  if (refused !== undefined) throw refused;
}

function isStuck(key: string, shape: Shape, { root }: QdiscsLook, { stuck, nowMs }: ShapingTools): boolean {
  const ours = root !== undefined && isOurHandle(root.handle);
  return stuck.isStuck(key, ours ? { handle: root.handle, ...root.statistics } : undefined, shape, nowMs);
}

function police(shape: Shape): { readonly kind: 'police'; readonly shape: Shape } {
  const least = Math.ceil((shape.rateBitsPerSecond / 8) * POLICE_BURST_SECONDS);
  return { kind: 'police', shape: { ...shape, burstBytes: Math.max(shape.burstBytes, least) } };
}

function needsClsact({ link: { name } }: LinkLook): Conflict {
  return new Conflict(
    `link ${name} of the sandbox has a qdisc ingress, where a limit on what it sends needs clsact: replace it (tc qdisc replace dev ${name} clsact takes the same filters)`,
  );
}

function told(direction: Direction, steps: readonly { readonly mended?: string }[]): string[] {
  return steps.flatMap(({ mended }) => (mended === undefined ? [] : [`${direction}: ${mended}`]));
}

function opposite(direction: Direction): Direction {
  return direction === 'in' ? 'out' : 'in';
}
