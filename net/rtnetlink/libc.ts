/**
 * The C library's functions that netlink and namespaces need, over koffi. This is the only file that touches foreign
 * memory: a wrong signature here is a crash of the process, so there are few functions and each is wrapped with
 * checked types. Nothing here may be called through koffi's `.async`: it would run on a thread of the libuv pool,
 * which setns and the per-thread errno would corrupt. `closeBehind` alone may: descriptors belong to all threads, and it
 * does not look at errno.
 */
import { endianness } from 'node:os';
import koffi, { type KoffiFunc } from 'koffi';
import { Unsupported } from '../../core/errors.ts';
import { EINTR, ENOSPC, EPERM, kernelError } from './errno.ts';
import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN, SO_ATTACH_FILTER, SOL_SOCKET } from './uapi.ts';

if (endianness() !== 'LE') {
  throw new Unsupported('the netlink codec is written for little-endian machines; this one is big-endian');
}

const libc = koffi.load(null);

type Call<A extends readonly unknown[], R = number> = (...args: A) => R;

const cSocket: Call<[number, number, number]> = libc.func('int socket(int, int, int)');
const cBind: Call<[number, Buffer, number]> = libc.func('int bind(int, const void *, unsigned int)');
const cSetsockopt: Call<[number, number, number, Buffer, number]> = libc.func(
  'int setsockopt(int, int, int, const void *, unsigned int)',
);
const cSendto: Call<[number, Buffer, number, number, Buffer, number]> = libc.func(
  'intptr_t sendto(int, const void *, size_t, int, const void *, unsigned int)',
);
const cRecv: Call<[number, Buffer, number, number]> = libc.func('intptr_t recv(int, void *, size_t, int)');
const cRecvmsg: Call<[number, Buffer, number]> = libc.func('intptr_t recvmsg(int, void *, int)');
const cPoll: Call<[Buffer, number, number]> = libc.func('int poll(void *, unsigned long, int)');
const cEventfd: Call<[number, number]> = libc.func('int eventfd(unsigned int, int)');
const cClose: KoffiFunc<(fd: number) => number> = libc.func('int close(int)');
const cSetns: Call<[number, number]> = libc.func('int setns(int, int)');
const cUnshare: Call<[number]> = libc.func('int unshare(int)');
const cSyscall: Call<[number, number, Buffer, number]> = libc.func(
  'long syscall(long, int, void *, unsigned int)',
);
const cMount: Call<[string, string, string, number, null]> = libc.func(
  'int mount(const char *, const char *, const char *, unsigned long, const void *)',
);
const cAbort: Call<[], undefined> = libc.func('void abort(void)');

/** asm/unistd.h __NR_bpf; glibc has no function for it. */
const BPF_SYSCALL: Readonly<Partial<Record<NodeJS.Architecture, number>>> = {
  x64: 321,
  arm64: 280,
  riscv64: 280,
};

const NAMESPACE_REMEDIES = new Map([
  [EPERM, 'the daemon needs the capability CAP_SYS_ADMIN'],
  [ENOSPC, 'the limit of namespaces is reached (user.max_net_namespaces)'],
]);
const BPF_REMEDIES = new Map([
  [
    EPERM,
    'the daemon needs CAP_SYS_ADMIN and the system call bpf, and on kernels before 5.11 LimitMEMLOCK=infinity (systemd/lanius.service has them)',
  ],
]);

const MOUNT_REMEDIES = new Map([
  [EPERM, 'the daemon needs the capability CAP_SYS_ADMIN and the system call mount'],
]);

/** struct msghdr and struct iovec of 64-bit machines. */
const MSGHDR_BYTES = 56;
const HEADER_BYTES = MSGHDR_BYTES + 16;
/** Room for a few struct cmsghdr. */
const CONTROL_BYTES = 128;

/** Calls until the answer is not EINTR. @throws KernelError if it is negative */
function checked(operation: string, call: () => number, remedies?: ReadonlyMap<number, string>): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) throw kernelError(operation, errno, undefined, remedies?.get(errno));
  }
}

function roundUp8(bytes: number): number {
  return (bytes + 7) & ~7;
}

/** Valid as long as the block lives and only for blocks outside of the JavaScript heap (`allocUnsafeSlow`). */
function addressOf(block: Buffer): bigint {
  return BigInt(koffi.address(block));
}

/** @returns a file descriptor that is closed on exec if `type` says so */
export function socket(domain: number, type: number, protocol: number): number {
  return checked('open a netlink socket', () => cSocket(domain, type, protocol));
}

export function bind(fd: number, address: Buffer): void {
  checked('bind a netlink socket', () => cBind(fd, address, address.length));
}

export function setsockopt(fd: number, level: number, option: number, value: Buffer): void {
  checked(`set socket option ${level}/${option}`, () => cSetsockopt(fd, level, option, value, value.length));
}

export function sendto(fd: number, bytes: Buffer, address: Buffer, operation: string): number {
  return checked(operation, () => cSendto(fd, bytes, bytes.length, 0, address, address.length));
}

/** @returns the length of the datagram; with MSG_TRUNC in `flags` it may be more than `into` holds */
export function recv(fd: number, into: Buffer, flags: number, operation: string): number {
  return checked(operation, () => cRecv(fd, into, into.length, flags));
}

/** Waits until one of the descriptors can be read. @returns whether one can; false when the time is up */
export function poll(fds: readonly number[], timeoutMs: number): boolean {
  // struct pollfd: int fd, short events, short revents
  const entries = Buffer.alloc(8 * fds.length);
  for (const [index, fd] of fds.entries()) {
    entries.writeInt32LE(fd, 8 * index);
    entries.writeInt16LE(POLLIN, 8 * index + 4);
  }
  return checked('wait for messages', () => cPoll(entries, fds.length, timeoutMs)) > 0;
}

/** @returns a descriptor that `poll` finds readable once 8 bytes were written to it */
export function eventfd(): number {
  return checked('make an eventfd', () => cEventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/** What `recvmsg` fills: the datagram, and what the kernel says beside it. May be used again and again. */
export class MessageMemory {
  readonly data: Buffer;
  readonly control: Buffer;
  /** struct msghdr and its one struct iovec. */
  readonly header: Buffer;
  readonly #addresses: readonly [iovec: bigint, data: bigint, control: bigint];

  constructor(dataBytes: number) {
    // One block outside of the JavaScript heap, which nothing moves: the header holds addresses of the rest.
    const block = Buffer.allocUnsafeSlow(HEADER_BYTES + CONTROL_BYTES + dataBytes);
    this.header = block.subarray(0, HEADER_BYTES);
    this.control = block.subarray(HEADER_BYTES, HEADER_BYTES + CONTROL_BYTES);
    this.data = block.subarray(HEADER_BYTES + CONTROL_BYTES);
    const start = addressOf(block);
    this.#addresses = [
      start + BigInt(MSGHDR_BYTES),
      start + BigInt(HEADER_BYTES + CONTROL_BYTES),
      start + BigInt(HEADER_BYTES),
    ];
  }

  /** The kernel changes the header, so it is written before each call. */
  prepare(): void {
    const [iovec, data, control] = this.#addresses;
    this.header.fill(0);
    this.header.writeBigUInt64LE(iovec, 16);
    this.header.writeBigUInt64LE(1n, 24);
    this.header.writeBigUInt64LE(control, 32);
    this.header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
    this.header.writeBigUInt64LE(data, MSGHDR_BYTES);
    this.header.writeBigUInt64LE(BigInt(this.data.length), MSGHDR_BYTES + 8);
  }

  /** Bytes of `control` that the last call filled. */
  get controlBytes(): number {
    return Number(this.header.readBigUInt64LE(40));
  }
}

/** @returns as `recv` does */
export function recvmsg(fd: number, into: MessageMemory, flags: number, operation: string): number {
  return checked(operation, () => {
    into.prepare();
    return cRecvmsg(fd, into.header, flags);
  });
}

/**
 * Lets the kernel drop what a socket need not get.
 * @param program struct sock_filter, 8 bytes each (linux/filter.h)
 */
export function attachFilter(fd: number, program: Buffer): void {
  // Its own block, large enough to lie outside of the JavaScript heap.
  const block = Buffer.allocUnsafeSlow(Math.max(4096, program.length));
  program.copy(block);
  // struct sock_fprog: unsigned short len, pad, pointer
  const fprog = Buffer.alloc(16);
  fprog.writeUInt16LE(program.length / 8, 0);
  fprog.writeBigUInt64LE(addressOf(block), 8);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog);
  // The kernel has copied it by now; until here the block must not be collected.
  block.fill(0);
}

/** Never throws and never repeats: after EINTR Linux has closed the descriptor already. */
export function close(fd: number): void {
  cClose(fd);
}

/**
 * In another thread, some time later: the kernel lets the one that closes a packet socket wait until no processor looks at it
 * any more (15 ms and more). @see linux net/packet/af_packet.c packet_release(), synchronize_net()
 */
export function closeBehind(fd: number): void {
  cClose.async(fd, () => {});
}

/** Moves the calling thread into a namespace. */
export function setns(fd: number, kind: number): void {
  checked('enter a namespace', () => cSetns(fd, kind), NAMESPACE_REMEDIES);
}

/** Moves the calling thread into a new namespace. */
export function unshare(kind: number): void {
  checked('make a namespace', () => cUnshare(kind), NAMESPACE_REMEDIES);
}

/** A buffer that `bpf` hands over by its address, which the kernel wants at `offset` of the attributes. */
export interface BpfPointer {
  readonly offset: number;
  /** Read by the kernel; holds what it wrote afterwards. */
  readonly memory: Buffer;
}

/**
 * bpf(2).
 * @param attributes union bpf_attr, zero where addresses go; holds what the kernel wrote into it afterwards
 * @param tolerated an errno that is an answer, not an error
 * @returns a descriptor (closed on exec) or 0; -1 for the tolerated errno
 * @throws KernelError; Unsupported on architectures whose number of the call is not known here
 */
export function bpf(
  command: number,
  attributes: Buffer,
  pointers: readonly BpfPointer[],
  operation: string,
  tolerated?: number,
): number {
  const call = BPF_SYSCALL[process.arch];
  if (call === undefined) throw new Unsupported(`cannot ${operation}: not ported to ${process.arch}`);
  const placed: { readonly start: number; readonly memory: Buffer }[] = [];
  let bytes = roundUp8(attributes.length);
  for (const { memory } of pointers) {
    placed.push({ start: bytes, memory });
    bytes += roundUp8(memory.length);
  }
  // One block outside of the JavaScript heap, which nothing moves, and which is used after the call, too.
  const block = Buffer.allocUnsafeSlow(bytes);
  attributes.copy(block);
  for (const { start, memory } of placed) memory.copy(block, start);
  const base = addressOf(block);
  for (const [index, { offset }] of pointers.entries()) {
    block.writeBigUInt64LE(base + BigInt(placed[index]?.start ?? 0), offset);
  }
  let missed = false;
  const ask = (): number => {
    const result = cSyscall(call, command, block, attributes.length);
    missed = result < 0 && koffi.errno() === tolerated;
    return missed ? 0 : result;
  };
  try {
    const result = checked(operation, ask, BPF_REMEDIES);
    return missed ? -1 : result;
  } finally {
    block.copy(attributes, 0, 0, attributes.length);
    for (const { start, memory } of placed) block.copy(memory, 0, start);
  }
}

/** Mounts a file system of that type, which has no device. */
export function mount(type: string, folder: string): void {
  checked(`mount ${type} at ${folder}`, () => cMount(type, folder, type, 0, null), MOUNT_REMEDIES);
}

/** Ends the process at once. `process.abort()` does not exist in worker threads. */
export function abort(): void {
  cAbort();
}
