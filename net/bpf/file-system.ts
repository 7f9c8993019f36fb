/**
 * The BPF file system, in which programs and maps outlive the process that made them. systemd mounts it at /sys/fs/bpf;
 * where nobody did, it is mounted there. Must not touch anything but the folder that it is given.
 *
 * @see Documentation/bpf/ of the kernel, kernel/bpf/inode.c (rename works, and takes whole folders at once)
 */
import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mount } from '../rtnetlink/libc.ts';
import { BPF_FS_MAGIC } from '../rtnetlink/uapi.ts';

/**
 * Makes the folder, for root alone, on a BPF file system.
 * @param folder one below the mount point: `/sys/fs/bpf/lanius`
 * @throws KernelError if none can be mounted; the system's error if it is mounted read-only
 */
export function preparePinFolder(folder: string): void {
  const mountPoint = dirname(folder);
  if (!isBpfFileSystem(mountPoint)) mount('bpf', mountPoint);
  try {
    // Not with `recursive`, which tells a wrong reason.
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Is there a BPF file system around that folder, or where it would be? */
export function isBpfFileSystem(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}

/** Names of what is in the folder; none if there is no folder. */
export function pinsIn(folder: string): string[] {
  if (!isBpfFileSystem(dirname(folder))) return [];
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/**
 * Calls `pin` with a new folder, and gives it its name when that has returned: what is there is whole.
 * @returns false if there is one of that name already
 */
export function pinTogether(folder: string, name: string, pin: (folder: string) => void): boolean {
  const unfinished = join(folder, `${name}-unfinished-${process.pid}`);
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { mode: 0o700 });
  try {
    pin(unfinished);
    renameSync(unfinished, join(folder, name));
    return true;
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes what is in the folder but these. The kernel keeps what is in use. */
export function unpinAllBut(folder: string, kept: readonly string[]): void {
  for (const name of pinsIn(folder)) {
    if (!kept.includes(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Removes what is in the folder, and the folder, if the daemon did not find it ready made for it. Idempotent. */
export function removePins(folder: string): void {
  unpinAllBut(folder, []);
  try {
    rmdirSync(folder);
  } catch {
    // The service manager has given it to the daemon, and it alone (or there is none): an empty folder holds nothing.
  }
}
