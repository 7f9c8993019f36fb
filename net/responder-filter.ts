/**
 * The ARP responder's filter on a container's link: clsact egress, direct action, at a priority of ours. Over a socket that
 * is handed in. Must not touch other filters, nor take away a clsact that others may use; writes only what is missing.
 *
 * @see linux/pkt_cls.h TCA_BPF_*, net/sched/cls_bpf.c cls_bpf_change (a filter with the same handle is replaced at once)
 */
import { Conflict, KernelError } from '../core/errors.ts';
import { EEXIST, ENODEV, ENOENT, kernelError } from './rtnetlink/errno.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import * as tc from './rtnetlink/traffic-control.ts';
import { ETH_P_ARP, TC_H_CLSACT, TC_H_CLSACT_EGRESS, TC_H_CLSACT_HANDLE } from './rtnetlink/uapi.ts';

/** As `tc filter show dev eth0 egress` prints it. */
export const FILTER_NAME = 'lanius-arp';
/** "LA": far behind what people choose, so that their filters go first. */
const FILTER_PRIORITY = 0x4c41;

/** What the filter runs. */
export interface FilterProgram {
  readonly programFd: number;
  readonly programId: number;
  /** Which network the container belongs to; the program sees it. */
  readonly slot: number;
}

/**
 * Puts the filter there, or in the place of one of ours that runs something else. Idempotent.
 * @returns whether something changed; false if the link is gone
 * @throws Conflict if a qdisc `ingress` stands where clsact must; KernelError
 */
export function filterAttach(socket: RtnetlinkSocket, linkIndex: number, program: FilterProgram): boolean {
  const kind = ingressKind(socket, linkIndex);
  if (kind === 'clsact' && filterAttached(socket, linkIndex, program)) return false;
  checkKind(kind, linkIndex);

  const operation = `attach the ARP responder to link ${linkIndex}`;
  const filter = tc.bpfFilterReplace(
    { ...place(linkIndex), name: FILTER_NAME, programFd: program.programFd, classId: program.slot },
    operation,
  );
  if (kind === 'clsact') return done(socket.batch([filter]));
  const qdisc = { linkIndex, handle: TC_H_CLSACT_HANDLE, parent: TC_H_CLSACT, kind: 'clsact' };
  const [refused, ...others] = socket.batch([tc.qdiscAdd(qdisc, operation), filter]);
  // Somebody was faster: what kind is it, and did the filter go into the right place?
  if (isErrno(refused, EEXIST)) checkKind(ingressKind(socket, linkIndex), linkIndex);
  return done(isErrno(refused, EEXIST) ? others : [refused, ...others]);
}

/** Does that program stand in our place? */
export function filterAttached(socket: RtnetlinkSocket, linkIndex: number, program: FilterProgram): boolean {
  const found = standing(socket, linkIndex);
  return found?.programId === program.programId && found.classId === program.slot;
}

/** Takes our filter away, whatever it runs; clsact stays. Idempotent. @returns false if there was none */
export function filterDetach(socket: RtnetlinkSocket, linkIndex: number): boolean {
  const kind = ingressKind(socket, linkIndex);
  if (kind !== 'clsact' || standing(socket, linkIndex) === undefined) return false;
  try {
    socket.request(
      tc.filterDelete(place(linkIndex), 'bpf', `detach the ARP responder from link ${linkIndex}`),
    );
    return true;
  } catch (error) {
    if (isErrno(error, ENOENT) || isErrno(error, ENODEV)) return false;
    throw error;
  }
}

function place(linkIndex: number): tc.FilterPlace {
  return {
    linkIndex,
    parent: TC_H_CLSACT_EGRESS,
    priority: FILTER_PRIORITY,
    protocol: ETH_P_ARP,
    handle: 1,
  };
}

function standing(socket: RtnetlinkSocket, linkIndex: number): tc.FilterInfo | undefined {
  const operation = `list the filters of link ${linkIndex}`;
  const filters = socket
    .dump(tc.filterDump(linkIndex, TC_H_CLSACT_EGRESS, operation))
    .map(({ payload }) => tc.readFilter(payload));
  return filters.find(
    (filter) =>
      filter?.kind === 'bpf' &&
      filter.name === FILTER_NAME &&
      filter.priority === FILTER_PRIORITY &&
      filter.handle === 1,
  );
}

/** Kind of the qdisc at the place of clsact: `clsact`, `ingress`; undefined if there is none. */
function ingressKind(socket: RtnetlinkSocket, linkIndex: number): string | undefined {
  const found = socket
    .dump(tc.qdiscDump('list the qdiscs of a sandbox'))
    .map(({ payload }) => tc.readQdisc(payload))
    .find((qdisc) => qdisc?.linkIndex === linkIndex && qdisc.handle === TC_H_CLSACT_HANDLE);
  return found?.kind;
}

function checkKind(kind: string | undefined, linkIndex: number): void {
  if (kind === 'clsact' || kind === undefined) return;
  throw new Conflict(
    `link ${linkIndex} of the sandbox has a qdisc ${kind}, where the ARP responder needs clsact: ` +
      'replace it (tc qdisc replace dev … clsact takes the same filters), or use arp=preload',
  );
}

function done(refusals: readonly (KernelError | undefined)[]): boolean {
  const error = refusals.find((refusal) => refusal !== undefined);
  if (error === undefined) return true;
  if (isErrno(error, ENODEV)) return false;
  if (!isErrno(error, ENOENT)) throw error;
  throw kernelError(
    String(error.details['operation']),
    ENOENT,
    textOf(error),
    'the kernel lacks the classifier bpf (CONFIG_NET_CLS_BPF) or the qdisc clsact (CONFIG_NET_SCH_INGRESS)',
  );
}

function textOf(error: KernelError): string | undefined {
  const { kernelText } = error.details;
  return typeof kernelText === 'string' ? kernelText : undefined;
}

function isErrno(error: unknown, errno: number): boolean {
  return error instanceof KernelError && error.errno === errno;
}
