/** The kernel worker's operations on neighbour tables, as types and as functions. */
import {
  type ComparisonStart,
  type ComparisonTurn,
  type NeighbourDifference,
  neighboursCompare,
  neighboursCompareOn,
} from './neighbour-comparison.ts';
import {
  type NeighbourLook,
  type NeighbourWriting,
  type NeighbourWritten,
  neighboursStand,
  neighboursWrite,
} from './neighbour-table.ts';
import type { Handlers, Operation } from './operation.ts';
import { ENOENT, kernelError } from './rtnetlink/errno.ts';
import { withSocketHere, withSocketIn } from './rtnetlink/namespace.ts';
import { limitsDump, limitsSet, type NeighbourLimits, readLimits } from './rtnetlink/neighbour-limits.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import type { WaitingRequests } from './waiting-requests.ts';

export interface NeighbourOperations {
  /** undefined: the sandbox is gone. */
  readonly neighboursWrite: Operation<NeighbourWriting, NeighbourWritten | undefined>;
  readonly neighboursStand: Operation<NeighbourLook, boolean | undefined>;
  readonly neighboursCompare: Operation<ComparisonStart, NeighbourDifference | 'continued' | undefined>;
  readonly neighboursCompareOn: Operation<ComparisonTurn, NeighbourDifference | 'continued'>;
  readonly neighbourLimits: Operation<undefined, NeighbourLimits>;
  readonly neighbourLimitsSet: Operation<NeighbourLimits, undefined>;
}

/** @param waiting tells a long operation when to end early */
export function neighbourHandlers(waiting: WaitingRequests): Handlers<NeighbourOperations> {
  return {
    neighboursWrite: (writing) =>
      withSocketIn(writing.namespacePath, (socket) => neighboursWrite(socket, writing, waiting)),
    neighboursStand: (look) => withSocketIn(look.namespacePath, (socket) => neighboursStand(socket, look)),
    neighboursCompare: (start) => neighboursCompare(start, waiting),
    neighboursCompareOn: (turn) => neighboursCompareOn(turn, waiting),
    neighbourLimits: () => withSocketHere(neighbourLimits),
    neighbourLimitsSet: (limits) =>
      withSocketHere((socket) => {
        socket.request(limitsSet(limits));
        return undefined;
      }),
  };
}

function neighbourLimits(socket: RtnetlinkSocket): NeighbourLimits {
  const request = limitsDump();
  for (const { payload } of socket.dump(request)) {
    const limits = readLimits(payload);
    if (limits !== undefined) return limits;
  }
  throw kernelError(request.operation, ENOENT);
}
