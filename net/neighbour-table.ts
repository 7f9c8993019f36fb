/**
 * Writing neighbours of a link in a sandbox, and looking at some of them: what the kernel worker does for
 * `NeighbourPort`. A long writing stops when another request waits. A sandbox or link that is gone is an answer, not an error. Must not
 * decide which entries are written.
 *
 * @see Linux net/core/neighbour.c neigh_add, neigh_get, neigh_delete
 */
import { KernelError } from '../core/errors.ts';
import type { NeighbourRun } from './neighbour-plan.ts';
import { EINVAL, ENODEV, ENOENT, EOPNOTSUPP } from './rtnetlink/errno.ts';
import {
  NeighbourBatch,
  type NeighbourVerb,
  neighbourGetPayload,
  readNeighbour,
  standsAs,
} from './rtnetlink/neighbour.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import { RTM_GETNEIGH } from './rtnetlink/uapi.ts';
import type { WaitingRequests } from './waiting-requests.ts';

/** A link in a sandbox. */
export interface NeighbourTarget {
  /** e.g. `/var/run/docker/netns/0f5c…` */
  readonly namespacePath: string;
  readonly linkIndex: number;
}

export interface NeighbourWriting extends NeighbourTarget {
  readonly verb: NeighbourVerb;
  /** Way is made for what has this priority or a higher one. */
  readonly priority: number;
  readonly runs: readonly NeighbourRun[];
}

export interface NeighbourLook extends NeighbourTarget {
  readonly runs: readonly NeighbourRun[];
}

/** What became of the entries of one writing. */
export interface NeighbourWritten {
  /** Entries that were done, refused ones included; fewer than asked for if another request waits. */
  readonly done: number;
  /** The link is gone. */
  readonly gone: boolean;
  /** Entries that the kernel refused. */
  readonly refused: number;
  /** The first of them. */
  readonly first?: { readonly address: string; readonly errno: number; readonly kernelText?: string };
}

/** One for all requests: filling a buffer anew costs more than an entry. */
const batch = new NeighbourBatch();

export function neighboursWrite(
  socket: RtnetlinkSocket,
  { verb, priority, linkIndex, runs }: NeighbourWriting,
  waiting: WaitingRequests,
): NeighbourWritten {
  const outcome: Outcome = { done: 0, gone: false, refused: 0 };
  const send = (): void => batch.take((bytes, count) => sendBatch(socket, bytes, count, verb, outcome));
  for (const run of runs) {
    for (let first = run.first; first <= run.last; ) {
      const added = batch.add(verb, linkIndex, run, first);
      first += added;
      if (added > 0) continue;
      send();
      if (outcome.gone || waiting.some(priority)) return outcome;
    }
  }
  if (batch.count > 0) send();
  return outcome;
}

type Outcome = { -readonly [K in keyof NeighbourWritten]: NeighbourWritten[K] };

function sendBatch(
  socket: RtnetlinkSocket,
  bytes: Buffer,
  count: number,
  verb: NeighbourVerb,
  outcome: Outcome,
): void {
  outcome.done += count;
  for (const { index, errno, kernelText } of socket.bulk(bytes, count, `${verb} neighbours`)) {
    if (errno === ENODEV) outcome.gone = true;
    // Somebody else deleted it.
    else if (errno !== ENOENT || verb !== 'delete') {
      outcome.refused++;
      const address = index < 0 ? 'some of them' : batch.addressOf(index);
      outcome.first ??= { address, errno, ...(kernelText === undefined ? {} : { kernelText }) };
    }
  }
}

/** @returns whether the first address of each run stands as planned */
export function neighboursStand(
  socket: RtnetlinkSocket,
  { linkIndex, runs }: Omit<NeighbourLook, 'namespacePath'>,
): boolean {
  return runs.every((run) => stands(socket, linkIndex, run));
}

function stands(socket: RtnetlinkSocket, linkIndex: number, run: NeighbourRun): boolean {
  const payload = neighbourGetPayload(linkIndex, run);
  const operation = 'read a neighbour';
  try {
    const [answer] = socket.request({ type: RTM_GETNEIGH, flags: 0, payload, operation });
    if (answer === undefined) return false;
    const found = readNeighbour(answer.payload, 0, answer.payload.length);
    return found !== undefined && standsAs(found, run);
  } catch (error) {
    if (error instanceof KernelError && ABSENT.includes(error.errno)) return false;
    throw error;
  }
}

/** The last two: kernels before 5.0 cannot look for one neighbour. */
const ABSENT = [ENOENT, ENODEV, EOPNOTSUPP, EINVAL];
