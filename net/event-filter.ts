/**
 * The socket filter for neighbour notifications. A preload of a /16 tells 65,534 times that an entry is new, and a
 * container's end as often that one is gone; both are our own doing or nobody's business. What is let through is what
 * somebody did by netlink: entries that a process other than this one wrote, or that any process deleted.
 *
 * | nlmsghdr, ndmsg | offset | size | field                                                            |
 * |-----------------|-------:|-----:|------------------------------------------------------------------|
 * |                 |      4 |    2 | nlmsg_type                                                       |
 * |                 |     12 |    4 | nlmsg_pid: port of the socket that asked; 0 = the kernel itself  |
 * |                 |     24 |    2 | ndm_state; NUD_FAILED while an entry is being deleted            |
 *
 * The kernel's filters read big-endian, netlink writes little-endian; so constants are turned around.
 *
 * @see linux/filter.h, linux/neighbour.h; net/core/neighbour.c neigh_delete(), __neigh_notify()
 */
import { NUD_FAILED, RTM_NEWNEIGH } from './rtnetlink/uapi.ts';

const LOAD_HALF = 0x28;
const LOAD_WORD = 0x20;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
const ACCEPT = 0xffff_ffff;
const DROP = 0;

/**
 * @param ownPort the port that sockets of this process get, its pid; what a process of that number in a container does
 *   by hand is heard only if it deletes
 */
export function neighbourFilter(ownPort: number): Buffer {
  return Buffer.concat([
    instruction(LOAD_HALF, 4),
    instruction(JUMP_EQUAL, swap16(RTM_NEWNEIGH), 0, 6),
    instruction(LOAD_WORD, 12),
    instruction(JUMP_EQUAL, 0, 4, 0),
    instruction(JUMP_EQUAL, swap32(ownPort), 0, 2),
    instruction(LOAD_HALF, 24),
    instruction(JUMP_EQUAL, swap16(NUD_FAILED), 0, 1),
    instruction(RETURN, ACCEPT),
    instruction(RETURN, DROP),
  ]);
}

/** struct sock_filter: u16 code, u8 jump if true, u8 jump if false, u32 operand. */
function instruction(code: number, operand: number, ifTrue = 0, ifFalse = 0): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(operand, 4);
  return bytes;
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

function swap32(value: number): number {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.readUInt32BE();
}
