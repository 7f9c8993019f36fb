import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import koffi from 'koffi';
import { sockaddrOf } from '../../daemon/unix-datagram.ts';
import { checkoutFolder, distFolder } from '../support/checkout.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const c = koffi.load(null);
const libc = {
  socket: c.func('int socket(int, int, int)'),
  bind: c.func('int bind(int, const void *, uint)'),
  listen: c.func('int listen(int, int)'),
  close: c.func('int close(int)'),
};

describe('daemon/refuse', () => {
  let folder: string;
  let path: string;
  let fd: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-refuse-'));
    path = join(folder, 'plugin.sock');
    fd = Number(libc.socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr = sockaddrOf(path);
    expect(libc.bind(fd, sockaddr, sockaddr.length)).to.equal(0);
    expect(libc.listen(fd, 16)).to.equal(0);
  });
  afterEach(() => {
    libc.close(fd);
    rmSync(folder, { recursive: true, force: true });
  });

  const activate = (): Promise<{ status: number | undefined; body: unknown }> =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath: path, path: '/Plugin.Activate', method: 'POST' }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
      });
      call.on('error', reject);
      call.end();
    });

  it('answers the calls that wait in the socket of systemd when the settings are wrong, and ends', async () => {
    const config = join(folder, 'config.json');
    writeFileSync(config, '{ "etcd": { "hosts": 5 } }');
    const waiting = activate();
    // $$ is the daemon's pid after exec, as systemd sets it
    const script = `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" bin/lanius daemon --config "$1"`;
    const child = spawn('sh', ['-c', script, process.execPath, config], {
      cwd: checkoutFolder,
      stdio: ['ignore', 'ignore', 'pipe', fd],
      env: { ...process.env, LANIUS_DIST: distFolder },
    });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const ended = once(child, 'close');
    const text = `Lanius cannot start: ${config}: etcd.hosts: 5 is not an array`;
    const refused = { status: 503, body: { Err: text, Error: text } };
    expect(await waiting).to.deep.equal(refused);
    expect(await activate()).to.deep.equal(refused);
    expect(await ended).to.deep.equal([1, null]);
    expect(said).to.equal(`lanius: ${config}: etcd.hosts: 5 is not an array\n`);
  });
});
