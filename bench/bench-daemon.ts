/** The real daemon as a benchmark starts it: its own process, folder and sockets, no engine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { checkoutFolder, distFolder } from '../test/support/checkout.ts';
import { until } from '../test/support/poll.ts';

export interface BenchDaemonOptions {
  /** Its own, there already. */
  readonly folder: string;
  readonly host: string;
  /** `127.0.0.1:port` */
  readonly etcd: string;
}

/** Settings of such a daemon. */
export function daemonConfig({ folder, host, etcd }: BenchDaemonOptions) {
  return {
    host: { name: host },
    docker: { socket: `${folder}/engine.sock`, pluginSocket: `${folder}/lanius.sock` },
    admin: { socket: `${folder}/admin.sock` },
    state: { dir: `${folder}/state` },
    etcd: { hosts: [`http://${etcd}`] },
  };
}

export class BenchDaemon {
  readonly socket: string;
  readonly logFile: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.socket = `${folder}/lanius.sock`;
    this.logFile = `${folder}/daemon.log`;
  }

  /** Returns when the process is there, and does not wait for more. */
  static start(options: BenchDaemonOptions): BenchDaemon {
    const { folder } = options;
    writeFileSync(`${folder}/config.json`, JSON.stringify(daemonConfig(options)));
    const words = ['--enable-source-maps', `${checkoutFolder}/bin/lanius`, 'daemon'];
    const log = openSync(`${folder}/daemon.log`, 'a');
    const child = spawn('node', [...words, '--config', `${folder}/config.json`], {
      stdio: ['ignore', log, log],
      env: { ...process.env, LANIUS_DIST: distFolder },
    });
    return new BenchDaemon(child, folder);
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws if it ends instead */
  async serving(): Promise<void> {
    const told = (): boolean =>
      this.#child.exitCode !== null || this.log().includes('"msg":"the daemon serves"');
    await until('the daemon serves', told, { timeoutMs: 20_000, intervalMs: 2 });
    if (this.#child.exitCode !== null) throw new Error(`the daemon ended: ${this.log()}`);
  }

  /** Resident memory, in bytes. @see proc(5) /proc/pid/status VmRSS, in kB */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) * 1024;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
