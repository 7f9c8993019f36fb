import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import koffi from 'koffi';
import { Conflict, InternalError } from '../../core/errors.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { sockaddrOf } from '../../daemon/unix-datagram.ts';
import { distFolder } from '../support/checkout.ts';
import { until } from '../support/poll.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const c = koffi.load(null);
const libc = {
  socket: c.func('int socket(int, int, int)'),
  bind: c.func('int bind(int, const void *, uint)'),
  listen: c.func('int listen(int, int)'),
  close: c.func('int close(int)'),
};

const ask = (socketPath: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = request({ socketPath, path: '/', agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(text));
    });
    call.on('error', reject);
    call.end();
  });

/** Binds, and is killed: leaves a socket file that nobody listens on. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('daemon/listen', () => {
  let folder: string;
  let path: string;
  let listeners: Listener[];
  const serve = (answer: (response: ServerResponse) => void = (response) => response.end('here')): Server =>
    createServer((_request, response) => answer(response));
  const listen = async (
    server: Server,
    options: { path: string; fd?: number } = { path },
  ): Promise<Listener> => {
    const listener = await listenOn(server, options);
    listeners.push(listener);
    return listener;
  };
  const failureOf = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => error,
    );

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-listen-'));
    path = join(folder, 'deep', 'plugins', 'lanius.sock');
    listeners = [];
  });
  afterEach(async () => {
    await Promise.all(listeners.map((listener) => listener.close(100)));
    rmSync(folder, { recursive: true });
  });

  it('makes the folder and a socket that only owner and group can open, and frees it at the end', async () => {
    const listener = await listen(serve());
    expect(lstatSync(path).mode & 0o777).to.equal(0o660);
    expect(await ask(path)).to.equal('here');
    await listener.close(1000);
    expect(existsSync(path)).to.equal(false);
  });

  it('takes the place of a socket that nobody listens on', async () => {
    const stale = join(folder, 'stale.sock');
    await leaveStaleSocket(stale);
    expect(lstatSync(stale).isSocket()).to.equal(true);
    await listen(serve(), { path: stale });
    expect(await ask(stale)).to.equal('here');
  });

  it('refuses to push a living program aside', async () => {
    await listen(serve());
    const error = await failureOf(listen(serve(() => {})));
    expect(error).to.be.instanceOf(Conflict);
    expect((error as Error).message).to.equal(
      `another program listens on ${path}: is a Lanius daemon running already?`,
    );
    expect(await ask(path)).to.equal('here');
  });

  it('leaves a file that is no socket, and a link, alone', async () => {
    const file = join(folder, 'file');
    const symlink = join(folder, 'symlink');
    writeFileSync(file, 'precious');
    symlinkSync(file, symlink);
    for (const taken of [file, symlink]) {
      expect(await failureOf(listen(serve(), { path: taken }))).to.be.instanceOf(Conflict);
      expect(existsSync(taken)).to.equal(true);
    }
  });

  it('does not unlink the socket of a successor', async () => {
    const first = await listen(serve());
    rmSync(path);
    await listen(serve((response) => response.end('successor')));
    await first.close(1000);
    expect(await ask(path)).to.equal('successor');
  });

  it('lets calls under way finish, and closes connections that become idle', async () => {
    let held: ServerResponse | undefined;
    const listener = await listen(
      serve((response) => {
        held = response;
      }),
    );
    const answer = ask(path);
    await until('the call has come', () => held !== undefined);
    const closed = listener.close(5000);
    held?.end('late');
    expect(await answer).to.equal('late');
    const from = performance.now();
    await closed;
    expect(performance.now() - from).to.be.below(1000);
  });

  it('cuts what is still open after the time to drain', async () => {
    const listener = await listen(serve(() => {}));
    const answer = failureOf(ask(path));
    await until('the call is open', () => true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await listener.close(100);
    expect(await answer).to.be.instanceOf(Error);
  });

  it('says which file descriptor is no listening socket', async () => {
    const error = await failureOf(listen(serve(), { path, fd: 999 }));
    expect(error).to.be.instanceOf(InternalError);
    expect((error as Error).message).to.match(/^cannot listen on file descriptor 999: E/);
  });

  describe('with a socket of systemd', () => {
    let child: ChildProcess | undefined;
    let fd = -1;
    afterEach(() => {
      child?.kill('SIGKILL');
      libc.close(fd);
    });

    it('serves fd 3 and leaves its path alone at the end', async () => {
      const made = join(folder, 'made.sock');
      fd = Number(libc.socket(AF_UNIX, SOCK_STREAM, 0));
      const sockaddr = sockaddrOf(made);
      expect(libc.bind(fd, sockaddr, sockaddr.length)).to.equal(0);
      expect(libc.listen(fd, 16)).to.equal(0);
      const early = ask(made); // waits in the socket, as calls do while the daemon starts
      const module = (name: string): string =>
        JSON.stringify(pathToFileURL(join(distFolder, 'daemon', name)).href);
      const script = `
        import { createServer } from 'node:http';
        const { listenOn } = await import(${module('listen.js')});
        const { takeActivatedSockets } = await import(${module('socket-activation.js')});
        process.env.LISTEN_PID = String(process.pid);
        const { plugin } = takeActivatedSockets(process.env, process.pid);
        const server = createServer((request, response) => response.end('activated'));
        const listener = await listenOn(server, { path: ${JSON.stringify(made)}, fd: plugin });
        process.once('SIGTERM', () => void listener.close(1000));
`;
      child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'inherit', 'inherit', fd],
        env: { ...process.env, LISTEN_FDS: '1' },
      });
      expect(await early).to.equal('activated');
      expect(await ask(made)).to.equal('activated');
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).to.deep.equal([0, null]);
      expect(existsSync(made)).to.equal(true);
    });
  });
});
