/**
 * Puts an HTTP server on a unix socket: one that systemd made, or a path of our own.
 *
 * A path is taken by binding under another name and renaming: the socket appears with its mode and ready to
 * answer, in place of a dead one if there is one, and Node cannot unlink at the end what is not ours any more.
 * A dead socket file must not stay: dockerd finds it, dials it and waits 15 s at each call.
 */
import { chmod, lstat, mkdir, rename, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { Conflict, InternalError } from '../core/errors.ts';

export interface ListenOptions {
  readonly path: string;
  /** Listening socket that systemd made; then the path is systemd's, and nothing is bound or unlinked. */
  readonly fd?: number;
}

export interface Listener {
  /**
   * Stops: no new connections, the path freed if it is still ours, then waits for the calls under way.
   * @param drainTimeoutMs connections that are still open after this are cut
   */
  close(drainTimeoutMs: number): Promise<void>;
}

const SOCKET_MODE = 0o660;
const PROBE_TIMEOUT_MS = 1000;
const SWEEP_MS = 50;

/**
 * @throws Conflict if another program answers at the path, or the path is no socket; InternalError if it cannot
 *   be bound
 */
export async function listenOn(server: Server, options: ListenOptions): Promise<Listener> {
  // dockerd keeps connections for ever; Node's limit would cut one just as a call comes in
  server.keepAliveTimeout = 0;
  if (options.fd !== undefined) {
    await bind(server, { fd: options.fd });
    return { close: (drainTimeoutMs) => drain(server, drainTimeoutMs) };
  }
  const { path } = options;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await mustBeFree(path);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  await unlink(temporary).catch(() => {});
  await bind(server, { path: temporary });
  await chmod(temporary, SOCKET_MODE);
  await rename(temporary, path);
  const inode = await inodeOf(path);
  return {
    close: async (drainTimeoutMs) => {
      if (inode !== undefined && (await inodeOf(path)) === inode) await unlink(path).catch(() => {});
      await drain(server, drainTimeoutMs);
    },
  };
}

function bind(server: Server, where: { readonly fd: number } | { readonly path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const name = 'fd' in where ? `file descriptor ${where.fd}` : where.path;
    const onError = (error: NodeJS.ErrnoException): void => {
      reject(new InternalError(`cannot listen on ${name}: ${error.code ?? error.message}`, { cause: error }));
    };
    server.once('error', onError);
    server.listen(where, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

async function mustBeFree(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Conflict(`${path} is there and is no socket: move it away, or set another path`);
  }
  if (await isAnswered(path)) {
    throw new Conflict(`another program listens on ${path}: is a Lanius daemon running already?`);
  }
}

/** Whether somebody listens; a listener whose queue is full counts as one. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const finish = (living: boolean): void => {
      probe.destroy();
      resolve(living);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => finish(true));
    probe.once('connect', () => finish(true));
    probe.once('error', (error: NodeJS.ErrnoException) =>
      finish(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

async function inodeOf(path: string): Promise<string | undefined> {
  const stat = await lstat(path).catch(() => undefined);
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

async function drain(server: Server, timeoutMs: number): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), timeoutMs);
  // close() itself closes what is idle now, but not what becomes idle when its call is answered
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
  await new Promise((resolve) => server.close(resolve));
  clearTimeout(cut);
  clearInterval(sweep);
}
