/**
 * Acting in another network namespace: a *window* moves the calling thread there, runs one synchronous function and
 * moves it back. Must run in the kernel worker thread only, and only after the libuv pool has its threads: threads
 * that are born inside a window would live in the foreign namespace for good.
 *
 * INVARIANTS: no await inside a window; no file descriptor opened inside survives without an owner that closes it
 * (an open socket pins a namespace after its container is gone); a thread that cannot come back ends the process,
 * for everything it did later would hit the wrong namespace.
 *
 * @see setns(2), network_namespaces(7)
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { InternalError, KernelError } from '../../core/errors.ts';
import { EINVAL, kernelError } from './errno.ts';
import { abort, setns, unshare } from './libc.ts';
import { RtnetlinkSocket } from './socket.ts';
import { CLONE_NEWNET } from './uapi.ts';

/** Forbids async functions at compile time. */
type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * Opens a netlink socket in another namespace, hands it to `use` and closes it whatever happens.
 * @returns undefined if the path is no network namespace (any more)
 * @throws KernelError if entering is refused (CAP_SYS_ADMIN); what `use` throws
 */
export function withSocketIn<T>(
  namespacePath: string,
  use: (socket: RtnetlinkSocket) => Synchronous<T>,
): T | undefined {
  const socket = openSocketIn(namespacePath);
  return socket === undefined ? undefined : useAndClose(socket, use);
}

/**
 * The same for what goes over several requests to the worker: the caller must close the socket, and soon, for it keeps
 * the namespace alive.
 */
export function openSocketIn(namespacePath: string): RtnetlinkSocket | undefined {
  const fd = openNamespace(namespacePath);
  if (fd === undefined) return undefined;
  try {
    return inWindow(
      () => setns(fd, CLONE_NEWNET),
      () => new RtnetlinkSocket(),
    );
  } catch (error) {
    if (error instanceof KernelError && error.errno === EINVAL) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/**
 * The same in a namespace made for this call; it is gone with all its links afterwards.
 * @throws KernelError if none can be made (CAP_SYS_ADMIN)
 */
export function withSocketInFresh<T>(use: (socket: RtnetlinkSocket) => Synchronous<T>): T {
  const socket = inWindow(
    () => unshare(CLONE_NEWNET),
    () => new RtnetlinkSocket(),
  );
  return useAndClose(socket, use);
}

/**
 * Runs a function in another namespace, for sockets that are not rtnetlink's: what it opens it must close.
 * @returns undefined if the path is no network namespace (any more)
 * @throws KernelError if entering is refused (CAP_SYS_ADMIN); what `act` throws
 */
export function actIn<T>(namespacePath: string, act: () => Synchronous<T>): { result: T } | undefined {
  const fd = openNamespace(namespacePath);
  if (fd === undefined) return undefined;
  let inside = false;
  try {
    const result = inWindow(
      () => setns(fd, CLONE_NEWNET),
      () => {
        inside = true;
        return act();
      },
    );
    return { result };
  } catch (error) {
    if (!inside && error instanceof KernelError && error.errno === EINVAL) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** The same in the thread's own namespace. */
export function withSocketHere<T>(use: (socket: RtnetlinkSocket) => Synchronous<T>): T {
  return useAndClose(new RtnetlinkSocket(), use);
}

/**
 * Moves the calling thread into a namespace for good.
 * @returns false if the path is no network namespace
 */
export function enterForGood(namespacePath: string): boolean {
  const fd = openNamespace(namespacePath);
  if (fd === undefined) return false;
  try {
    setns(fd, CLONE_NEWNET);
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.errno === EINVAL) return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}

function inWindow<T>(enter: () => void, act: () => Synchronous<T>): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    enter();
    try {
      const result: T = act();
      if (isThenable(result))
        throw new InternalError('a namespace window was given an asynchronous function');
      return result;
    } finally {
      comeBack(home);
    }
  } finally {
    closeSync(home);
  }
}

function comeBack(home: number): void {
  try {
    setns(home, CLONE_NEWNET);
  } catch (error) {
    writeSync(2, `fatal: the kernel thread cannot leave a foreign network namespace: ${String(error)}\n`);
    abort();
  }
}

function useAndClose<T>(socket: RtnetlinkSocket, use: (socket: RtnetlinkSocket) => Synchronous<T>): T {
  try {
    return use(socket);
  } finally {
    socket.close();
  }
}

function openNamespace(namespacePath: string): number | undefined {
  try {
    // O_NONBLOCK: a FIFO at that path must not stop the thread.
    return openSync(namespacePath, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENXIO') return undefined;
    if (errno === undefined) throw error;
    throw kernelError(`open network namespace "${namespacePath}"`, Math.abs(errno));
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value;
}
