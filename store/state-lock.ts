/**
 * One daemon per state folder. The lock is a listening unix socket in the abstract name space, named after the
 * folder: the kernel frees it at the very moment its holder dies, however it dies, and no stale file is left.
 * Whoever connects is told the holder's pid.
 *
 * Abstract names belong to a network namespace: the lock holds between daemons of one namespace (the host's).
 *
 * @see unix(7), "Abstract sockets"
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { resolve } from 'node:path';
import { Conflict } from '../core/errors.ts';

/** sun_path is 108 bytes, the first of them zero. */
const NAME_BYTES = 107;
const ASK_LIMIT_MS = 500;
const ATTEMPTS = 3;

export interface StateLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** @throws Conflict naming the folder and, if it says so, the pid of the holder */
export async function acquireStateLock(stateDir: string): Promise<StateLock> {
  const name = lockNameOf(stateDir);
  for (let attempt = 1; ; attempt += 1) {
    const server = await listen(name);
    if (server !== undefined) {
      let released: Promise<unknown> | undefined;
      return {
        release: async () => {
          released ??= new Promise((done) => server.close(done));
          await released;
        },
      };
    }
    const holder = await askHolder(name);
    // Gone between the two calls: it is free now.
    if (holder === 'gone' && attempt < ATTEMPTS) continue;
    const who = typeof holder === 'number' ? ` (pid ${holder})` : '';
    throw new Conflict(
      `the state folder ${stateDir} is in use by another daemon${who}: stop that one, or set another stateDir`,
      { details: typeof holder === 'number' ? { pid: holder } : {} },
    );
  }
}

/**
 * The same folder under two names is one lock. Always of full length: some versions of Node fill a shorter
 * abstract name up with zeros, which makes another name of it, and two versions must not hold one folder.
 */
function lockNameOf(stateDir: string): string {
  let path = resolve(stateDir);
  try {
    path = realpathSync(path);
  } catch {
    // Not made yet: its name as given.
  }
  const readable = `lanius:${path}:`;
  const fits = /^[\x20-\x7e]*$/.test(readable) && readable.length <= NAME_BYTES;
  const name = fits ? readable : `lanius:${createHash('sha256').update(path).digest('hex')}:`;
  return `\0${name.padEnd(NAME_BYTES, '.')}`;
}

/** @returns undefined if the name is taken */
async function listen(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${process.pid}\n`);
  });
  server.unref();
  server.listen(name);
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
  return server;
}

async function askHolder(name: string): Promise<number | 'gone' | 'silent'> {
  return await new Promise((done) => {
    const socket = connect(name);
    let text = '';
    const timer = setTimeout(() => end('silent'), ASK_LIMIT_MS);
    const end = (answer: number | 'gone' | 'silent') => {
      clearTimeout(timer);
      socket.destroy();
      done(answer);
    };
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('end', () => {
      const pid = Number.parseInt(text, 10);
      end(Number.isSafeInteger(pid) ? pid : 'silent');
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(error.code === 'ECONNREFUSED' ? 'gone' : 'silent'),
    );
  });
}
