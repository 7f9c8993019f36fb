/**
 * A real etcd of the test's own: free loopback ports, a data folder under the system's temp folder, quick to
 * start. Can be frozen, killed and started again on the same data and ports. Ended by its pid, at the latest when
 * the test process exits.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** A TCP port of loopback that nobody listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export class EtcdProcess {
  readonly clientPort: number;
  readonly folder: string;
  readonly #peerPort: number;
  readonly #flags: readonly string[];
  #scheme: 'http' | 'https' = 'http';
  #child: ChildProcess | undefined;

  private constructor(clientPort: number, peerPort: number, folder: string, flags: readonly string[]) {
    this.clientPort = clientPort;
    this.#peerPort = peerPort;
    this.folder = folder;
    this.#flags = flags;
  }

  /** Starts a member and waits until it serves. @param flags more flags of etcd, e.g. the quota or TLS files */
  static async start(flags: readonly string[] = [], scheme: 'http' | 'https' = 'http'): Promise<EtcdProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'lanius-etcd-'));
    const etcd = new EtcdProcess(await freePort(), await freePort(), folder, flags);
    etcd.#scheme = scheme;
    await etcd.restart();
    return etcd;
  }

  get host(): string {
    return `127.0.0.1:${this.clientPort}`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('etcd does not run');
    return pid;
  }

  /** Starts it (again) on the same data and ports, and waits until it says that it serves. */
  async restart(): Promise<void> {
    await this.launch();
    await this.#serving();
  }

  /** Starts it without waiting. */
  async launch(): Promise<void> {
    const client = `${this.#scheme}://127.0.0.1:${this.clientPort}`;
    const peer = `http://127.0.0.1:${this.#peerPort}`;
    const log = openSync(join(this.folder, 'log'), 'w');
    const flags = ['--name=test', `--data-dir=${join(this.folder, 'data')}`]
      .concat([`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`])
      .concat([`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`])
      .concat([`--initial-cluster=test=${peer}`, '--logger=zap', '--log-level=info'])
      .concat(['--heartbeat-interval=50', '--election-timeout=250'], this.#flags);
    const child = spawn('etcd', flags, { stdio: ['ignore', log, log] });
    closeSync(log);
    alive.add(child);
    child.once('exit', () => alive.delete(child));
    this.#child = child;
    await once(child, 'spawn');
  }

  /** When it returns every thread has stopped: on a busy machine one may answer for a while after the signal. */
  freeze(): void {
    const { pid } = this;
    process.kill(pid, 'SIGSTOP');
    while (!allStopped(pid)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** kill -9, as a power cut looks to its clients. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Ends it and removes its data. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  async #serving(): Promise<void> {
    const until = Date.now() + 10_000;
    while (!/serving (insecure )?client/.test(this.log())) {
      if (Date.now() > until || this.#child?.exitCode !== null) {
        throw new Error(`etcd did not start: ${this.log().split('\n').slice(-3).join(' ')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** @see proc(5): the state follows the name of the command, which may hold anything but the last bracket. */
function allStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ').at(-1)?.startsWith('T'),
  );
}
