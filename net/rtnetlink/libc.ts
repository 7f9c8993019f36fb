/**
 * The C library's functions that netlink and namespaces need, over koffi. This is the only file that touches foreign
 * memory: a wrong signature here is a crash of the process, so there are few functions and each is wrapped with
 * checked types. Nothing here may be called through koffi's `.async`: it would run on a thread of the libuv pool,
 * which setns and the per-thread errno would corrupt.
 */
import { endianness } from 'node:os';
import koffi from 'koffi';
import { Unsupported } from '../../core/errors.ts';
import { EINTR, ENOSPC, EPERM, kernelError } from './errno.ts';

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
const cClose: Call<[number]> = libc.func('int close(int)');
const cSetns: Call<[number, number]> = libc.func('int setns(int, int)');
const cUnshare: Call<[number]> = libc.func('int unshare(int)');
const cAbort: Call<[], undefined> = libc.func('void abort(void)');

const NAMESPACE_REMEDIES = new Map([
  [EPERM, 'the daemon needs the capability CAP_SYS_ADMIN'],
  [ENOSPC, 'the limit of namespaces is reached (user.max_net_namespaces)'],
]);

/** Calls until the answer is not EINTR. @throws KernelError if it is negative */
function checked(operation: string, call: () => number, remedies?: ReadonlyMap<number, string>): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) throw kernelError(operation, errno, undefined, remedies?.get(errno));
  }
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

/** Never throws and never repeats: after EINTR Linux has closed the descriptor already. */
export function close(fd: number): void {
  cClose(fd);
}

/** Moves the calling thread into a namespace. */
export function setns(fd: number, kind: number): void {
  checked('enter a namespace', () => cSetns(fd, kind), NAMESPACE_REMEDIES);
}

/** Moves the calling thread into a new namespace. */
export function unshare(kind: number): void {
  checked('make a namespace', () => cUnshare(kind), NAMESPACE_REMEDIES);
}

/** Ends the process at once. `process.abort()` does not exist in worker threads. */
export function abort(): void {
  cAbort();
}
