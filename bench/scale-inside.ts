/** The program of `bench scale` inside its namespaces: two etcds, a daemon on each, in turns. */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type IpAddress, parseCidr, usableRange } from '../core/ip.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import type { EtcdProcess } from '../test/support/etcd-process.ts';
import { BenchDaemon } from './bench-daemon.ts';
import { fill, startEtcd } from './bench-etcd.ts';
import { cpuSeconds } from './cpu-time.ts';
import { programInside } from './namespaces.ts';
import { StopwatchEngine } from './plugin-engine.ts';
import type { Result } from './report.ts';
import { type Figures, leaseResults, sessionResult } from './scale-results.ts';
import { IdleDaemons } from './scale-sessions.ts';
import { median, percentile } from './statistics.ts';

export interface ScaleOptions {
  /** Empty, on a real disk; everything is written there. */
  readonly folder: string;
  /** In etcd, rising. */
  readonly leases: readonly number[];
  /** Daemons at once, rising. */
  readonly sessions: readonly number[];
  /** How long idle daemons are watched. */
  readonly idleMs: number;
  /** Of a daemon, for each number of leases. */
  readonly starts: number;
  /** Leases that are timed, for each number of leases. */
  readonly samples: number;
}

/** Others' leases; 1,048,574 addresses. */
const FULL_SUBNET = parseCidr('10.16.0.0/12');
/** On both etcds; leases are taken from the same pool, which on one of them is full of others' leases. */
const SUBNET = '10.16.0.0/12';
const OTHER_HOSTS = 1000;
/** Others' leases lie everywhere in the pool: multiples of one number modulo a prime just below its size. */
const SPREAD = 1_048_573;
const STRIDE = 618_033;
/** Leases timed on one etcd before the other's turn. */
const TURN = 20;

class Scale {
  readonly #options: ScaleOptions;
  readonly #full: EtcdProcess;
  readonly #empty: EtcdProcess;
  readonly #kv: EtcdKv;
  #daemons = 0;
  #leases = 0;

  private constructor(options: ScaleOptions, full: EtcdProcess, empty: EtcdProcess) {
    this.#options = options;
    this.#full = full;
    this.#empty = empty;
    this.#kv = new EtcdKv({ hosts: [full.host] });
  }

  static async start(options: ScaleOptions): Promise<Scale> {
    return new Scale(options, await startEtcd(), await startEtcd());
  }

  async measure(): Promise<Result[]> {
    const results: Result[] = [];
    const most = Math.max(...this.#options.leases);
    for (const leases of this.#options.leases) {
      const start = performance.now();
      await this.#fill(leases);
      const seconds = (performance.now() - start) / 1000;
      tell(`${leases} leases in etcd, the last of them put there in ${seconds.toFixed(1)} s`);
      results.push(...leaseResults(leases, await this.#figures(), { limits: leases === most }));
    }
    return [...results, ...(await this.#sessions(most))];
  }

  /** Of other hosts. */
  async #fill(leases: number): Promise<void> {
    const { family, first } = usableRange(FULL_SUBNET);
    const missing = Array.from({ length: leases - this.#leases }, (_, i): IpAddress => {
      const at = ((this.#leases + i) * STRIDE) % SPREAD;
      return { family, value: first + BigInt(at) };
    });
    await fill(this.#kv, FULL_SUBNET, missing, (index) => `other-${index % OTHER_HOSTS}`);
    this.#leases = leases;
    // etcd still writes what that left it to do.
    await sleep(this.#options.idleMs / 3);
  }

  async #figures(): Promise<Figures> {
    const starts = { full: [] as number[], empty: [] as number[] };
    const memory = { full: [] as number[], empty: [] as number[] };
    for (let i = 1; i <= this.#options.starts; i += 1) {
      for (const name of i % 2 === 0 ? (['full', 'empty'] as const) : (['empty', 'full'] as const)) {
        const daemon = await this.#startDaemon(name === 'full' ? this.#full : this.#empty);
        starts[name].push(daemon.startMs);
        memory[name].push(daemon.process.residentBytes() / 1e6);
        await daemon.stop();
      }
    }
    const times = await this.#leaseTimes();
    const of = (name: 'full' | 'empty') => ({
      startMs: median(starts[name]),
      memoryMb: median(memory[name]),
      leaseMs: median(times[name]),
      leaseP99Ms: percentile(times[name], 99),
    });
    return { full: of('full'), empty: of('empty'), starts: this.#options.starts, samples: times.full.length };
  }

  async #leaseTimes(): Promise<{ readonly full: number[]; readonly empty: number[] }> {
    const full = await this.#startDaemon(this.#full);
    const empty = await this.#startDaemon(this.#empty);
    const times = { full: [] as number[], empty: [] as number[] };
    for (let i = 0; i < this.#options.samples + 5 * TURN; i += TURN) {
      for (const [daemon, list] of [
        [full, times.full],
        [empty, times.empty],
      ] as const) {
        for (let turn = 0; turn < TURN; turn += 1) list.push(await daemon.lease());
      }
    }
    await full.stop();
    await empty.stop();
    // The first are warm-up.
    return { full: times.full.slice(5 * TURN), empty: times.empty.slice(5 * TURN) };
  }

  /** From the start of the process to the answer with the first address; then the daemon has read what it holds. */
  async #startDaemon(etcd: EtcdProcess) {
    this.#daemons += 1;
    const folder = `${this.#options.folder}/daemon-${this.#daemons}`;
    mkdirSync(folder);
    const start = performance.now();
    const process = BenchDaemon.start({ folder, host: 'scale', etcd: etcd.host });
    await process.serving();
    const engine = new StopwatchEngine(process.socket, 1);
    const pool = await engine.requestPool(SUBNET);
    await engine.lease(pool);
    const startMs = performance.now() - start;
    const stop = async (): Promise<void> => {
      engine.close();
      await process.stop();
    };
    return { process, startMs, lease: () => engine.lease(pool), stop };
  }

  async #sessions(leases: number): Promise<Result[]> {
    const daemons = new IdleDaemons(this.#full.host);
    const results: Result[] = [];
    const most = Math.max(...this.#options.sessions);
    const nobody = await this.#loadOfEtcd();
    for (const count of this.#options.sessions) {
      tell(`${count} idle daemons`);
      await daemons.upTo(count);
      await sleep(this.#options.idleMs / 3);
      const load = await this.#loadOfEtcd();
      results.push(
        sessionResult({ count, leases, load, nobody, idleMs: this.#options.idleMs, limits: count === most }),
      );
    }
    await daemons.stop();
    return results;
  }

  /** Share of one core, in percent. */
  async #loadOfEtcd(): Promise<number> {
    const before = cpuSeconds(this.#full.pid);
    const start = performance.now();
    await sleep(this.#options.idleMs);
    return ((cpuSeconds(this.#full.pid) - before) / ((performance.now() - start) / 1000)) * 100;
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

await programInside<ScaleOptions>(async (options) => (await Scale.start(options)).measure());
