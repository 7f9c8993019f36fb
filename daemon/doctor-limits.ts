/**
 * Doctor's check of bandwidth limits: what is wished and not in force, what the kernel can only do in a lesser way, who can undo
 * what stands in his sandbox, what was undone, what cannot be read, and parents that have promised too much.
 */
import { shortId } from '../core/ids.ts';
import { DIRECTIONS, type Direction } from '../core/limit.ts';
import { formatRate } from '../core/rate.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';
import type { DirectionState, LimitState } from '../throttle/limit-state.ts';
import type { KnownOverride } from '../throttle/override-book.ts';

/** Of one direction, in bits a second. */
interface Counted {
  readonly capacity?: number;
  readonly committed: number;
}

export interface LimitFindings {
  readonly states: readonly LimitState[];
  readonly overrides: readonly Pick<KnownOverride, 'host' | 'containerName' | 'direction' | 'override'>[];
  /** Of this host's parents. */
  readonly figures: readonly { readonly parent: string; readonly in: Counted; readonly out: Counted }[];
  readonly overcommit: number;
}

const check = 'limits';
/** Of many alike only the first are named. */
const NAMED = 5;

/** Nothing where nobody has a limit and nothing is wrong. */
export function checkLimits({ states, overrides, figures, overcommit }: LimitFindings): DoctorCheck[] {
  const limited = states.filter((state) => DIRECTIONS.some((one) => state[one].wished !== undefined));
  const found = [
    ...notInForce(states),
    ...fallbacks(states),
    ...capable(limited),
    ...undone(states),
    ...unreadable(overrides),
    ...overCapacity(figures, overcommit),
  ];
  if (found.length > 0 || limited.length === 0) return found;
  const finding = `the limits of ${limited.length === 1 ? '1 container are' : `${limited.length} containers are`} in force`;
  return [{ check, status: 'ok', finding }];
}

interface Said {
  readonly who: string;
  readonly direction: Direction;
  readonly state: DirectionState;
}

function eachOf(states: readonly LimitState[]): Said[] {
  return states.flatMap((state) =>
    DIRECTIONS.map((direction) => ({ who: nameOf(state), direction, state: state[direction] })),
  );
}

function notInForce(states: readonly LimitState[]): DoctorCheck[] {
  const lacking = eachOf(states).filter(({ state }) => state.how === undefined && isWanted(state));
  return someOf(
    lacking.map(({ who, direction, state: { wished, problem } }) => ({
      check,
      status: 'fail',
      finding: `net_${direction} of ${who}${wished === undefined ? '' : ` (${formatRate(wished.rateBitsPerSecond)})`} is not in force: ${problem ?? 'its sandbox has not been reached yet'}`,
      remedy:
        'it is tried again and again; correct what the reason names (docs/limits.md), or start the container again',
    })),
  );
}

/** Somebody has said something that is more than "no limit". */
function isWanted({ wished, problem }: DirectionState): boolean {
  return wished !== undefined || problem !== undefined;
}

/** One line for each reason: it is the same for all containers of a kernel. */
function fallbacks(states: readonly LimitState[]): DoctorCheck[] {
  const byReason = new Map<string, string[]>();
  for (const { who, direction, state } of eachOf(states)) {
    const { how, problem } = state;
    if (how === undefined || (problem === undefined && (how === 'tbf' || how === 'host'))) continue;
    const reason = `enforced by ${how}: ${problem ?? 'the kernel can do no better'}`;
    byReason.set(reason, [...(byReason.get(reason) ?? []), `net_${direction} of ${who}`]);
  }
  return [...byReason].map(([reason, whose]) => ({
    check,
    status: 'warn',
    finding: `${listOf(whose)}: ${reason}`,
    remedy: 'docs/limits.md says which parts of the kernel are needed, and what is different without them',
  }));
}

function capable(limited: readonly LimitState[]): DoctorCheck[] {
  const names = limited.filter(({ netAdmin, enforce }) => netAdmin && enforce === 'sandbox').map(nameOf);
  if (names.length === 0) return [];
  return [
    {
      check,
      status: 'warn',
      finding: `${listOf(names)} can undo the limits in the sandbox (NET_ADMIN or privileged); what is undone is put in force again within seconds`,
      remedy:
        'make the network with -o enforce=host, which is out of reach of containers, or start them without NET_ADMIN and --privileged',
    },
  ];
}

function undone(states: readonly LimitState[]): DoctorCheck[] {
  const mended = states.filter((state) => state.mended > 0);
  if (mended.length === 0) return [];
  const count = mended.reduce((sum, state) => sum + state.mended, 0);
  const times = count === 1 ? 'once' : `${count} times`;
  return [
    {
      check,
      status: 'warn',
      finding: `limits were undone and put in force again ${times} since the start of the daemon: ${listOf(mended.map(nameOf))}`,
      remedy: 'look what in the container changes queueing disciplines (tc), or use -o enforce=host',
    },
  ];
}

function unreadable(overrides: LimitFindings['overrides']): DoctorCheck[] {
  return someOf(
    overrides.flatMap(({ host, containerName, direction, override }): DoctorCheck[] => {
      if (override.problem === undefined) return [];
      const option = host === undefined ? '' : ` --host ${host}`;
      const command = `lanius limit rm ${containerName} --${direction}${option}`;
      return [
        {
          check,
          status: 'warn',
          finding: `net_${direction} that is set for ${containerName}${host === undefined ? '' : ` on host ${host}`} cannot be read and is passed over: ${override.problem}`,
          remedy: `set it again with lanius limit set, or take it away: ${command}`,
        },
      ];
    }),
  );
}

function overCapacity(figures: LimitFindings['figures'], overcommit: number): DoctorCheck[] {
  return figures.flatMap((counted) =>
    DIRECTIONS.flatMap((direction): DoctorCheck[] => {
      const { capacity, committed } = counted[direction];
      if (capacity === undefined || committed <= capacity * overcommit) return [];
      const times = overcommit === 1 ? '' : ` times ${overcommit}`;
      return [
        {
          check,
          status: 'warn',
          finding: `net_${direction} of all containers on ${counted.parent} is ${formatRate(committed)}, more than its capacity of ${formatRate(capacity)}${times}`,
          remedy:
            'lower limits (lanius limit ls), or move containers to other hosts; new ones may be refused here',
        },
      ];
    }),
  );
}

function someOf(checks: DoctorCheck[]): DoctorCheck[] {
  const [first] = checks;
  if (first === undefined || checks.length <= NAMED) return checks;
  const more: DoctorCheck = {
    check,
    status: first.status,
    finding: `and ${checks.length - NAMED} more like these`,
  };
  return [...checks.slice(0, NAMED), more];
}

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).join(', ');
  return names.length <= NAMED ? shown : `${shown} and ${names.length - NAMED} more`;
}

function nameOf({ containerName, containerId, endpointId }: LimitState): string {
  if (containerName !== undefined) return containerName;
  return containerId === undefined ? `endpoint ${shortId(endpointId)}` : shortId(containerId);
}
