/**
 * The filter of ours on a hook of clsact: all frames to the ifb, or to a policer. What must be written so that it is as it
 * should be. Pure.
 *
 * It stands at the first preference: a filter before it that lets frames pass would step around the limit. What somebody
 * else has put at that very preference goes; filters behind stay, though redirected frames do not come to them.
 */
import { isPoliceOf, policeOptions } from '../rtnetlink/police.ts';
import type { NetlinkRequest } from '../rtnetlink/socket.ts';
import * as tc from '../rtnetlink/traffic-control.ts';
import { matchesEverything, redirectOptions } from '../rtnetlink/u32-filter.ts';
import { ETH_P_ALL } from '../rtnetlink/uapi.ts';
import type { Shape } from '../shaping-port.ts';
import type { FilterLook } from './link-look.ts';
import { isPriorityFilter } from './priority-filter.ts';
import type { Step } from './root-shaper.ts';

export const HOOK_PREFERENCE = 1;
/** Of what is sent: behind the filter that clears priorities, and not that of the other hook, see `standsAlone`. */
export const EGRESS_PREFERENCE = 2;
/** The first item of a table of u32; which table is the kernel's choice. */
const FIRST_ITEM = 0x800;
const NOTHING: Step = { requests: [] };

export type HookAction =
  | { readonly kind: 'redirect'; readonly toLinkIndex: number }
  | { readonly kind: 'police'; readonly shape: Shape };

export interface HookFilter {
  readonly linkIndex: number;
  /** The hook. */
  readonly parent: number;
  /** Absent: no filter of ours. */
  readonly action?: HookAction;
  /** Default HOOK_PREFERENCE. */
  readonly preference?: number;
  /** By which a redirect filter of ours is known. */
  readonly ifbIndex?: number;
}

export function hookStep(wanted: HookFilter, standing: readonly FilterLook[]): Step {
  const { action, preference = HOOK_PREFERENCE } = wanted;
  const here = standing.filter((one) => one.priority === preference && !isPriorityFilter(one));
  const items = here.filter(isItem);
  if (action === undefined) {
    const ours = items.filter((one) => isOurs(one, wanted.ifbIndex));
    return ours.length === 0
      ? NOTHING
      : { requests: removals(wanted, ours), mended: 'the filter is removed' };
  }
  const word = action.kind === 'redirect' ? 'redirect filter' : 'policer';
  const foreign = here.filter((one) => one.kind !== 'u32' || one.protocol !== ETH_P_ALL);
  const add = filter(wanted, action, FIRST_ITEM);
  if (here.length === 0) return { requests: [add], mended: `the ${word} was missing`, needsHook: true };
  if (foreign.length === 0 && standsAlone(items, action)) return NOTHING;
  const [item, ...others] = items;
  if (item !== undefined && others.length === 0 && foreign.length === 0) {
    return { requests: [filter(wanted, action, item.handle)], mended: `the ${word} was another one` };
  }
  return {
    requests: [...removals(wanted, here), add],
    mended: `filters of somebody stood in the place of the ${word}`,
  };
}

/**
 * Ours, and nothing else in its table: the kernel lists items of the other hook's filter of that preference here, too, which
 * are in a table of their own (net/sched/cls_u32.c tc_u_common is one for both hooks).
 */
function standsAlone(items: readonly FilterLook[], action: HookAction): boolean {
  const ours = items.find((one) => isSame(one, action));
  return ours !== undefined && items.every((one) => one === ours || tableOf(one) !== tableOf(ours));
}

function tableOf({ handle }: FilterLook): number {
  return handle >>> 20;
}

/** Tables of u32 are listed, too, and have no item number. */
export function isItem({ kind, handle }: FilterLook): boolean {
  return kind === 'u32' && (handle & 0xfff) !== 0;
}

/** All frames to our ifb, or to one that is gone, or to a policer; what else stands there is not ours to remove. */
export function isOurs({ u32, protocol }: FilterLook, ifbIndex: number | undefined): boolean {
  if (u32 === undefined || protocol !== ETH_P_ALL || !matchesEverything(u32)) return false;
  return u32.police !== undefined || u32.redirectIndex === 0 || (u32.redirectIndex ?? -1) === ifbIndex;
}

function isSame({ u32 }: FilterLook, action: HookAction): boolean {
  if (u32 === undefined || u32.actions.length !== 1 || !matchesEverything(u32)) return false;
  if (action.kind === 'redirect') return u32.redirectIndex === action.toLinkIndex;
  return u32.police !== undefined && isPoliceOf(u32.police, action.shape);
}

function filter(
  { linkIndex, parent, preference = HOOK_PREFERENCE }: HookFilter,
  action: HookAction,
  handle: number,
): NetlinkRequest {
  const place = { linkIndex, parent, priority: preference, protocol: ETH_P_ALL, handle };
  const options =
    action.kind === 'redirect' ? redirectOptions(action.toLinkIndex) : policeOptions(action.shape);
  return tc.filterReplace(place, 'u32', options, `make the ${action.kind} filter of link ${linkIndex}`);
}

/** Without a handle: everything of that kind at that preference. */
function removals(
  { linkIndex, parent, preference = HOOK_PREFERENCE }: HookFilter,
  filters: readonly FilterLook[],
): NetlinkRequest[] {
  const kinds = new Map(filters.map((one) => [`${one.kind} ${one.protocol}`, one]));
  return [...kinds.values()].map(({ kind, protocol }) =>
    tc.filterDelete(
      { linkIndex, parent, priority: preference, protocol, handle: 0 },
      kind,
      `remove a filter of link ${linkIndex}`,
    ),
  );
}
