/**
 * The distribution's own etcd as a child of the daemon, for hosts without a cluster: starts it, starts it again
 * when it ends, finds the one that an earlier daemon left running and goes on with that.
 *
 * Must not be on the way of a container: requests talk to etcd by `EtcdKv` only and see a restart as a store that
 * is away for a moment.
 *
 * INVARIANTS
 * - Never two etcds on one data folder: looked for before every start (the daemon holds the state lock).
 * - etcd outlives the daemon: own session, its log is a file. Only `stop()` ends it.
 *
 * @see ADR 0003
 */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { type DriverError, StoreUnavailable, toDriverError, Unsupported } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import {
  claimPort,
  commandLineOf,
  type EtcdPlace,
  etcdEnvironment,
  etcdFlags,
  findEtcd,
  isEtcdOn,
  isServing,
  lastWords,
} from './embedded-etcd-process.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
/** After running so long, the next end is a new story and not the same failure again. */
const SETTLED_MS = 30_000;
const LOOK_MS = 250;
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 5000;
const LONGEST_LOG_BYTES = 8 * 1024 * 1024;

export interface EmbeddedEtcdOptions {
  /** Absolute folder of all state; etcd gets <stateDir>/etcd, etcd.log and etcd.pid. */
  readonly stateDir: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** A name on PATH or a path; `etcd` by default. */
  readonly program?: string;
}

export class EmbeddedEtcd {
  readonly #place: EtcdPlace;
  readonly #program: string;
  readonly #logFile: string;
  readonly #pidFile: string;
  readonly #logger: Logger;
  readonly #clock: Clock;
  #pid: number | undefined;
  #startedAt = 0;
  #watching: Promise<void> | undefined;
  /** Where the words of the present etcd begin in the log. */
  #logStart = 0;
  #stopping = false;
  #wake: () => void = () => {};

  constructor(
    options: EmbeddedEtcdOptions,
    dependencies: { readonly logger: Logger; readonly clock: Clock },
  ) {
    const { stateDir, clientPort, peerPort } = options;
    this.#place = { dataDir: join(stateDir, 'etcd'), clientPort, peerPort };
    this.#program = options.program ?? 'etcd';
    this.#logFile = join(stateDir, 'etcd.log');
    this.#pidFile = join(stateDir, 'etcd.pid');
    this.#logger = dependencies.logger;
    this.#clock = dependencies.clock;
  }

  /** Of the etcd that runs now. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /**
   * Starts or adopts etcd, resolves once it serves, and keeps it running until `stop()`.
   * @throws Unsupported if etcd is not installed
   * @throws Conflict if a port is taken by another program
   * @throws StoreUnavailable with etcd's own last words if it does not start; then nothing is left running
   */
  async start(): Promise<{ hosts: string[] }> {
    this.#stopping = false;
    mkdirSync(this.#place.dataDir, { recursive: true, mode: 0o700 });
    chmodSync(this.#place.dataDir, 0o700);
    await this.#bringUp();
    this.#watching = this.#supervise();
    return { hosts: [`127.0.0.1:${this.#place.clientPort}`] };
  }

  /** SIGTERM, after 5 s SIGKILL. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    await this.#watching;
    this.#watching = undefined;
    if (this.#pid === undefined) return;
    await this.#end(this.#pid);
    this.#pid = undefined;
    rmSync(this.#pidFile, { force: true });
  }

  async #bringUp(): Promise<void> {
    const found = findEtcd(this.#place.dataDir, this.#pidFile);
    if (found !== undefined) {
      if (this.#hasOurFlags(found)) {
        this.#note(found);
        if (await this.#isReady(found)) {
          this.#logger.info('an etcd that was left running is adopted', { pid: found });
          return;
        }
      }
      this.#logger.warn('an etcd that was left running has other settings or is stuck, it is restarted', {
        pid: found,
      });
      await this.#end(found);
      this.#forget();
    }
    await claimPort(this.#place.clientPort, 'etcd.clientPort');
    await claimPort(this.#place.peerPort, 'etcd.peerPort');
    const pid = await this.#launch();
    this.#note(pid);
    if ((await this.#isReady(pid)) || this.#stopping) return;
    const alive = isEtcdOn(pid, this.#place.dataDir);
    await this.#end(pid);
    this.#forget();
    const what = alive
      ? `is not ready within ${START_LIMIT_MS / 1000} s`
      : `does not start on ${this.#place.dataDir} (${this.#lastWords()})`;
    throw new StoreUnavailable(`the embedded etcd ${what}: see ${this.#logFile}`);
  }

  async #launch(): Promise<number> {
    this.#turnLog();
    this.#logStart = this.#logBytes();
    const log = openSync(this.#logFile, 'a', 0o600);
    const child = spawn(this.#program, etcdFlags(this.#place), {
      detached: true,
      stdio: ['ignore', log, log],
      env: etcdEnvironment(),
    });
    closeSync(log);
    child.unref();
    child.once('exit', () => this.#wake());
    const pid = await new Promise<number>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) => reject(this.#cannotSpawn(cause)));
      child.once('spawn', () => resolve(child.pid ?? 0));
    });
    // For a moment after exec(2) a process has no command line yet, and it would look as if it had ended.
    while (child.exitCode === null && child.signalCode === null && commandLineOf(pid) === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return pid;
  }

  #cannotSpawn(cause: NodeJS.ErrnoException): DriverError {
    if (cause.code === 'ENOENT') {
      return new Unsupported(
        `${this.#program} is not installed: install the package etcd-server (Debian) or etcd (RPM), or set etcd.hosts`,
        { cause },
      );
    }
    return new StoreUnavailable(`${this.#program} cannot be started (${cause.message}): check its rights`, {
      cause,
    });
  }

  /** Waits until it serves; false if it ends first, or is not ready in time. */
  async #isReady(pid: number): Promise<boolean> {
    const until = this.#clock.now() + START_LIMIT_MS;
    while (isEtcdOn(pid, this.#place.dataDir) && !this.#stopping && this.#clock.now() < until) {
      if (await isServing(this.#place.clientPort)) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }

  async #supervise(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#stopping) {
      if (this.#pid !== undefined && isEtcdOn(this.#pid, this.#place.dataDir)) {
        await this.#pause(LOOK_MS);
        continue;
      }
      if (this.#pid !== undefined) {
        this.#logger.error('the embedded etcd ended and is started again', {
          pid: this.#pid,
          reason: this.#lastWords(),
        });
        if (this.#clock.now() - this.#startedAt > SETTLED_MS) pauseMs = FIRST_PAUSE_MS;
        this.#forget();
      }
      await this.#pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      if (this.#stopping) return;
      try {
        await this.#bringUp();
        this.#logger.info('the embedded etcd runs again', { pid: this.#pid });
      } catch (err) {
        this.#logger.error('the embedded etcd could not be started', { err: toDriverError(err) });
      }
    }
  }

  #note(pid: number): void {
    this.#pid = pid;
    this.#startedAt = this.#clock.now();
    writeFileSync(this.#pidFile, `${pid}\n`, { mode: 0o644 });
  }

  #forget(): void {
    this.#pid = undefined;
    rmSync(this.#pidFile, { force: true });
  }

  #hasOurFlags(pid: number): boolean {
    const flags = commandLineOf(pid)?.slice(1) ?? [];
    const wanted = etcdFlags(this.#place);
    return flags.length === wanted.length && wanted.every((flag, i) => flags[i] === flag);
  }

  async #end(pid: number): Promise<void> {
    const until = this.#clock.now() + STOP_LIMIT_MS;
    let killed = false;
    // The pid is looked at before each signal: it may belong to somebody else by now.
    if (isEtcdOn(pid, this.#place.dataDir)) signal(pid, 'SIGTERM');
    while (isEtcdOn(pid, this.#place.dataDir)) {
      if (!killed && this.#clock.now() > until) {
        killed = true;
        this.#logger.warn('the embedded etcd does not end and is killed', { pid });
        signal(pid, 'SIGKILL');
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Keeps one old log. */
  #turnLog(): void {
    if (this.#logBytes() > LONGEST_LOG_BYTES) renameSync(this.#logFile, `${this.#logFile}.1`);
  }

  #logBytes(): number {
    return statSync(this.#logFile, { throwIfNoEntry: false })?.size ?? 0;
  }

  #lastWords(): string {
    try {
      return lastWords(readFileSync(this.#logFile).subarray(this.#logStart).toString());
    } catch {
      return 'its log cannot be read';
    }
  }

  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Gone already is as good. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
