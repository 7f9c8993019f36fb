/**
 * Programs and maps of the kernel over bpf(2): make, pin, find again, read and write. Knows no program of ours. Must run
 * in the kernel worker; each call takes microseconds, but for loading a program (a few milliseconds).
 *
 * Descriptors are the caller's to close. Offsets below are those of union bpf_attr, which never change.
 *
 * @see bpf(2), linux/bpf.h
 */
import { KernelError, oneLine } from '../../core/errors.ts';
import { ENOENT, ENOMEM } from '../rtnetlink/errno.ts';
import { bpf, close } from '../rtnetlink/libc.ts';
import * as uapi from '../rtnetlink/uapi.ts';

export interface MapSpec {
  /** BPF_MAP_TYPE_* */
  readonly type: number;
  /** At most 15 characters. */
  readonly name: string;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** What the verifier said is kept in the error's details; its end is in the message. */
const VERIFIER_LOG_BYTES = 256 * 1024;
const VERIFIER_WORDS = 300;
const MEMORY_TRIES = 200;
const MEMORY_WAIT_MS = 1;
/** Nobody ever wakes who waits for it. */
const nobody = new Int32Array(new SharedArrayBuffer(4));
/** The first fields of struct bpf_prog_info: type, id, tag. */
const PROGRAM_INFO_BYTES = 16;

/** @returns a descriptor */
export function mapCreate(spec: MapSpec): number {
  const attributes = Buffer.alloc(48);
  attributes.writeUInt32LE(spec.type, 0);
  attributes.writeUInt32LE(spec.keyBytes, 4);
  attributes.writeUInt32LE(spec.valueBytes, 8);
  attributes.writeUInt32LE(spec.maxEntries, 12);
  attributes.writeUInt32LE(spec.flags, 16);
  attributes.write(spec.name.slice(0, uapi.BPF_OBJ_NAME_LEN - 1), 28, 'latin1');
  return bpf(uapi.BPF_MAP_CREATE, attributes, [], `create BPF map ${spec.name}`);
}

/** @returns undefined if there is no such key */
export function mapGet(fd: number, key: Buffer, valueBytes: number): Buffer | undefined {
  const value = Buffer.alloc(valueBytes);
  const result = element(uapi.BPF_MAP_LOOKUP_ELEM, fd, key, value, 'read a BPF map', ENOENT);
  return result < 0 ? undefined : value;
}

/**
 * Makes the entry or puts the value in the place of the one there is, at once for those who read. Blocks for some
 * milliseconds where the kernel is behind: it takes memory for entries from a small stock (kernel/bpf/memalloc.c), which
 * it fills up in an interrupt of its own, and on real-time kernels and in user-mode Linux that comes late.
 */
export function mapSet(fd: number, key: Buffer, value: Buffer, operation: string): void {
  const write = (tolerated?: number): number =>
    element(uapi.BPF_MAP_UPDATE_ELEM, fd, key, value, operation, tolerated);
  for (let tries = 1; tries < MEMORY_TRIES; tries++) {
    if (write(ENOMEM) >= 0) return;
    Atomics.wait(nobody, 0, 0, MEMORY_WAIT_MS);
  }
  write();
}

/** Idempotent. */
export function mapDelete(fd: number, key: Buffer): void {
  element(uapi.BPF_MAP_DELETE_ELEM, fd, key, undefined, 'delete from a BPF map', ENOENT);
}

/** All keys. The map must not be changed by others meanwhile: then the kernel begins anew. */
export function mapKeys(fd: number, keyBytes: number): Buffer[] {
  const keys: Buffer[] = [];
  for (let last: Buffer | undefined; ; ) {
    const next = Buffer.alloc(keyBytes);
    if (element(uapi.BPF_MAP_GET_NEXT_KEY, fd, last, next, 'list a BPF map', ENOENT) < 0) return keys;
    keys.push(next);
    last = next;
  }
}

/**
 * Loads a tc program.
 * @param instructions 8 bytes each, with descriptors of maps filled in
 * @returns a descriptor
 * @throws KernelError with what the verifier said
 */
export function programLoad(name: string, instructions: Buffer): number {
  const operation = `load BPF program ${name}`;
  try {
    return load(name, instructions, undefined, operation);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const log = Buffer.alloc(VERIFIER_LOG_BYTES);
    try {
      return load(name, instructions, log, operation);
    } catch {
      throw withVerifierLog(error, log);
    }
  }
}

/** The object lives in the file system, too, until the file is removed. @param path on a BPF file system */
export function objectPin(fd: number, path: string): void {
  const attributes = Buffer.alloc(16);
  attributes.writeUInt32LE(fd, 8);
  const pointers = [{ offset: 0, memory: Buffer.from(`${path}\0`) }];
  bpf(uapi.BPF_OBJ_PIN, attributes, pointers, `pin a BPF object at ${path}`);
}

/** @returns a descriptor; undefined if there is no such file */
export function objectOpen(path: string): number | undefined {
  const pointers = [{ offset: 0, memory: Buffer.from(`${path}\0`) }];
  const fd = bpf(uapi.BPF_OBJ_GET, Buffer.alloc(16), pointers, `open BPF object ${path}`, ENOENT);
  return fd < 0 ? undefined : fd;
}

/** The id by which the kernel names a program elsewhere. */
export function programId(fd: number): number {
  const info = Buffer.alloc(PROGRAM_INFO_BYTES);
  const attributes = Buffer.alloc(16);
  attributes.writeUInt32LE(fd, 0);
  attributes.writeUInt32LE(info.length, 4);
  bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, attributes, [{ offset: 8, memory: info }], 'read about a BPF program');
  return info.readUInt32LE(4);
}

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) close(fd);
}

function element(
  command: number,
  fd: number,
  key: Buffer | undefined,
  value: Buffer | undefined,
  operation: string,
  tolerated?: number,
): number {
  const attributes = Buffer.alloc(32);
  attributes.writeUInt32LE(fd, 0);
  const pointers = [
    ...(key === undefined ? [] : [{ offset: 8, memory: key }]),
    ...(value === undefined ? [] : [{ offset: 16, memory: value }]),
  ];
  return bpf(command, attributes, pointers, operation, tolerated);
}

function load(name: string, instructions: Buffer, log: Buffer | undefined, operation: string): number {
  const attributes = Buffer.alloc(64);
  attributes.writeUInt32LE(uapi.BPF_PROG_TYPE_SCHED_CLS, 0);
  attributes.writeUInt32LE(instructions.length / 8, 4);
  attributes.write(name.slice(0, uapi.BPF_OBJ_NAME_LEN - 1), 48, 'latin1');
  const pointers = [
    { offset: 8, memory: instructions },
    // bpf_ktime_get_ns is for such programs only, on kernels before 5.8.
    { offset: 16, memory: Buffer.from('GPL\0') },
  ];
  if (log !== undefined) {
    attributes.writeUInt32LE(1, 24);
    attributes.writeUInt32LE(log.length, 28);
    pointers.push({ offset: 32, memory: log });
  }
  return bpf(uapi.BPF_PROG_LOAD, attributes, pointers, operation);
}

function withVerifierLog(error: KernelError, log: Buffer): KernelError {
  const text = log.toString('latin1', 0, Math.max(0, log.indexOf(0))).trim();
  if (text === '') return error;
  const words = oneLine(text.slice(-VERIFIER_WORDS));
  return new KernelError(`${error.message}: ${words}`, {
    errno: error.errno,
    errnoName: error.errnoName,
    details: { ...error.details, verifierLog: text.slice(-10_000) },
  });
}
