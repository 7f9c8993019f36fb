/**
 * The ARP responder in the kernel worker: what it does for `ResponderPort`. Keeps the set of program and maps open from
 * the first use on; a new worker finds it again by its pins.
 */
import { pinsIn, removePins } from './bpf/file-system.ts';
import { ResponderSet, withTrialProgram } from './bpf/responder-set.ts';
import type { NeighbourRun } from './neighbour-plan.ts';
import type { Handlers, Operation } from './operation.ts';
import { filterAttach, filterAttached, filterDetach } from './responder-filter.ts';
import { withSocketIn, withSocketInFresh } from './rtnetlink/namespace.ts';

/** A link where it is. */
export interface ResponderTarget {
  /** Of the sandbox. */
  readonly namespacePath: string;
  readonly linkIndex: number;
}

export interface PlannedNetwork {
  readonly networkId: string;
  readonly runs: readonly NeighbourRun[];
}

export interface LeasedChange {
  readonly networkId: string;
  readonly added: Uint32Array;
  readonly removed: Uint32Array;
  /** Only what is added stands afterwards. */
  readonly anew: boolean;
  readonly validForMs: number;
}

export interface ResponderStanding {
  /** Networks that the maps serve. */
  readonly networkIds: readonly string[];
  /** Names in the pin folder. */
  readonly pins: readonly string[];
  /** Why the set does not outlive the daemon. */
  readonly unpinned?: string;
}

type InFolder<T> = T & { readonly folder: string };

export interface ResponderOperations {
  readonly responderAttach: Operation<
    InFolder<{ readonly target: ResponderTarget; readonly network: PlannedNetwork }>,
    boolean
  >;
  readonly responderAttached: Operation<
    InFolder<{ readonly target: ResponderTarget; readonly networkId: string }>,
    boolean
  >;
  readonly responderDetach: Operation<ResponderTarget, boolean>;
  readonly responderPlan: Operation<InFolder<PlannedNetwork>, boolean>;
  readonly responderLeased: Operation<InFolder<LeasedChange>, undefined>;
  readonly responderSettle: Operation<InFolder<{ readonly networkIds: readonly string[] }>, string[]>;
  readonly responderStanding: Operation<{ readonly folder: string }, ResponderStanding>;
  readonly responderTry: Operation<undefined, true>;
}

const NANOSECONDS = 1_000_000n;

let open: { readonly folder: string; readonly set: ResponderSet } | undefined;

export const responderHandlers: Handlers<ResponderOperations> = {
  responderAttach: ({ folder, target, network }) => {
    const set = opened(folder);
    set.plan(network.networkId, network.runs);
    const program = programOf(set, network.networkId);
    if (program === undefined) return false;
    return (
      withSocketIn(target.namespacePath, (socket) => filterAttach(socket, target.linkIndex, program)) ?? false
    );
  },
  responderAttached: ({ folder, target, networkId }) => {
    const set = standingSet(folder);
    const program = set === undefined ? undefined : programOf(set, networkId);
    if (program === undefined) return false;
    return (
      withSocketIn(target.namespacePath, (socket) => filterAttached(socket, target.linkIndex, program)) ??
      false
    );
  },
  responderDetach: ({ namespacePath, linkIndex }) =>
    withSocketIn(namespacePath, (socket) => filterDetach(socket, linkIndex)) ?? false,
  responderPlan: ({ folder, networkId, runs }) => opened(folder).plan(networkId, runs),
  responderLeased: ({ folder, networkId, added, removed, anew, validForMs }) => {
    const untilNs =
      validForMs > 0 ? process.hrtime.bigint() + BigInt(Math.ceil(validForMs)) * NANOSECONDS : 0n;
    opened(folder).lease(networkId, added, removed, untilNs, anew);
    return undefined;
  },
  responderSettle: ({ folder, networkIds }) => {
    const set = standingSet(folder);
    if (set === undefined) {
      // of an older version, perhaps
      if (networkIds.length === 0) removePins(folder);
      return [];
    }
    const released = set.networkIds().filter((networkId) => !networkIds.includes(networkId));
    for (const networkId of released) set.release(networkId);
    if (set.networkIds().length === 0) {
      set.remove();
      open = undefined;
    }
    return released;
  },
  responderStanding: ({ folder }) => {
    const set = standingSet(folder);
    return {
      networkIds: set?.networkIds() ?? [],
      pins: pinsIn(folder),
      ...(set?.unpinned === undefined ? {} : { unpinned: set.unpinned }),
    };
  },
  responderTry: () => {
    withTrialProgram((programFd) => {
      // Every namespace has its loopback at index 1.
      withSocketInFresh((socket) => filterAttach(socket, 1, { programFd, programId: 0, slot: 1 }));
    });
    return true;
  },
};

function opened(folder: string): ResponderSet {
  if (open?.folder === folder) return open.set;
  open?.set.close();
  open = { folder, set: ResponderSet.open(folder) };
  return open.set;
}

/** The set, if there is one: nothing is made. */
function standingSet(folder: string): ResponderSet | undefined {
  if (open?.folder === folder) return open.set;
  const set = ResponderSet.openPinned(folder);
  if (set === undefined) return undefined;
  open?.set.close();
  open = { folder, set };
  return set;
}

function programOf(set: ResponderSet, networkId: string) {
  const slot = set.slotOf(networkId);
  return slot === undefined ? undefined : { programFd: set.programFd, programId: set.programId, slot };
}
