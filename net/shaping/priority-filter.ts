/**
 * A program on a link's clsact egress, before its root qdisc, that clears priorities which name a qdisc of ours. A process
 * may set any priority on its packets (SO_PRIORITY), and htb takes one that is its own handle, or a class of it, at its
 * word: the packet steps around the limit. Other priorities stay as they are (VLANs map them).
 *
 * @see net/sched/sch_htb.c htb_classify; net/core/dev.c __dev_queue_xmit (sch_handle_egress); linux/bpf.h struct __sk_buff
 */
import { closeAll, programLoad } from '../bpf/objects.ts';
import type { NetlinkRequest } from '../rtnetlink/socket.ts';
import * as tc from '../rtnetlink/traffic-control.ts';
import { ETH_P_ALL } from '../rtnetlink/uapi.ts';
import { HANDLE_BYTE } from './handles.ts';

/** As `tc filter show dev eth0 egress` prints it. */
const NAME = 'lanius-prio';
/** Before all others. */
export const PRIORITY_FILTER_PREFERENCE = 1;

const PRIORITY_OFFSET = 32;
const PROGRAM = Buffer.concat([
  // r2 = skb->priority; if its first byte is not that of our handles, leave it; else it becomes 0
  instruction(0x61, 0x12, PRIORITY_OFFSET, 0),
  instruction(0x74, 0x02, 0, 24),
  instruction(0x55, 0x02, 2, HANDLE_BYTE),
  instruction(0xb7, 0x02, 0, 0),
  instruction(0x63, 0x21, PRIORITY_OFFSET, 0),
  // TC_ACT_UNSPEC: on to the next filter
  instruction(0xb7, 0x00, 0, -1),
  instruction(0x95, 0x00, 0, 0),
]);

type FilterAt = (linkIndex: number, parent: number, operation: string) => NetlinkRequest;

/** Loads the program for the time of the call; a filter that was attached keeps it. @throws KernelError */
export function withPriorityProgram<T>(use: (filterAt: FilterAt) => T): T {
  const programFd = programLoad('lanius_prio', PROGRAM);
  try {
    return use((linkIndex, parent, operation) =>
      tc.bpfFilterReplace({ ...place(linkIndex, parent), name: NAME, programFd, classId: 0 }, operation),
    );
  } finally {
    closeAll([programFd]);
  }
}

export function isPriorityFilter({ kind, name, priority }: tc.FilterInfo): boolean {
  return kind === 'bpf' && name === NAME && priority === PRIORITY_FILTER_PREFERENCE;
}

export function priorityFilterDelete(linkIndex: number, parent: number, operation: string): NetlinkRequest {
  return tc.filterDelete(place(linkIndex, parent), 'bpf', operation);
}

function place(linkIndex: number, parent: number): tc.FilterPlace {
  return { linkIndex, parent, priority: PRIORITY_FILTER_PREFERENCE, protocol: ETH_P_ALL, handle: 1 };
}

/** struct bpf_insn: code, registers (source in the upper half), offset, constant. */
function instruction(code: number, registers: number, offset: number, constant: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8(registers, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(constant, 4);
  return bytes;
}
