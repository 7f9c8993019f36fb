/**
 * The program inside the namespaces that plugin.ts makes, as PID 1 of them: starts etcd and the daemon, lets containers
 * live, and prints its results as JSON. Its end is the end of everything it started.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LINK_ALIAS_PREFIX } from '../core/ids.ts';
import { parseCidr } from '../core/ip.ts';
import type { LinkInfo } from '../net/port.ts';
import { layoutOf } from '../store/layout.ts';
import { EtcdProcess } from '../test/support/etcd-process.ts';
import { until } from '../test/support/poll.ts';
import { BenchDaemon } from './bench-daemon.ts';
import { ip, programInside } from './namespaces.ts';
import { type BenchNetwork, StopwatchEngine } from './plugin-engine.ts';
import { callDurations } from './plugin-log.ts';
import { BareEffects, REFERENCES } from './plugin-reference.ts';
import { type Result, resultOf } from './report.ts';
import { median, percentile, Samples } from './statistics.ts';

export interface InsideOptions {
  /** Empty, on a real disk; everything is written there. */
  readonly folder: string;
  /** Containers for each number of callers. */
  readonly lives: number;
  readonly callers: readonly number[];
}

const SUBNET = '10.77.0.0/16';
const PARENT = 'up0';
const TOTAL = 'total';

/** One container's parts, with the sum of them as `total`. */
async function noted(samples: Samples, live: (note: Samples['add']) => Promise<void>): Promise<void> {
  let total = 0;
  await live((method, milliseconds) => {
    samples.add(method, milliseconds);
    total += milliseconds;
  });
  samples.add(TOTAL, total);
}

/** Longer than the kernel waits for readers (synchronize_rcu) at the end of a deletion. */
const AFTER_DELETION_MS = 30;

async function ownLinks(net: BareEffects['net']): Promise<LinkInfo[]> {
  return (await net.linkList()).filter(({ alias }) => alias?.startsWith(LINK_ALIAS_PREFIX) === true);
}

async function linksGone({ net }: BareEffects): Promise<void> {
  const none = async () => (await ownLinks(net)).length === 0;
  await until('the links of ended endpoints are deleted', none, { intervalMs: 2 });
  // The kernel is busy with a link for a while after it is listed no more.
  await sleep(AFTER_DELETION_MS);
}

class Bench {
  readonly #options: InsideOptions;
  readonly #etcd: EtcdProcess;
  readonly #daemon: BenchDaemon;

  private constructor(options: InsideOptions, etcd: EtcdProcess, daemon: BenchDaemon) {
    this.#options = options;
    this.#etcd = etcd;
    this.#daemon = daemon;
  }

  static async start(options: InsideOptions): Promise<Bench> {
    ip('link', 'add', PARENT, 'type', 'veth', 'peer', 'name', 'up1');
    for (const link of [PARENT, 'up1']) ip('link', 'set', link, 'up');
    const etcd = await EtcdProcess.start();
    const daemon = BenchDaemon.start({ folder: options.folder, host: 'bench', etcd: etcd.host });
    await daemon.serving();
    // its session and its first link request
    await sleep(500);
    return new Bench(options, etcd, daemon);
  }

  async measure(): Promise<Result[]> {
    const { callers } = this.#options;
    const effects = await BareEffects.open({
      etcd: this.#etcd.host,
      folder: this.#options.folder,
      parent: PARENT,
    });
    const engine = new StopwatchEngine(this.#daemon.socket, Math.max(...callers));
    const network = await engine.createNetwork(SUBNET, PARENT);
    await this.#lives(Math.ceil(this.#options.lives / 5), 4, engine, network, effects);
    const results: Result[] = [];
    for (const count of callers) {
      process.stderr.write(`${this.#options.lives} containers, ${count} at a time\n`);
      const logged = this.#daemon.log().length;
      const times = await this.#lives(this.#options.lives, count, engine, network, effects);
      const inside = callDurations(this.#daemon.log().slice(logged));
      results.push(...resultsOf(count, times.calls, times.effects, inside));
    }
    await this.#mustBeEmpty(effects);
    engine.close();
    await effects.close();
    return results;
  }

  /** Rounds: as many containers at once as there are callers, then as many bare lives, or the other way round. */
  async #lives(
    lives: number,
    callers: number,
    engine: StopwatchEngine,
    network: BenchNetwork,
    effects: BareEffects,
  ) {
    const times = { calls: new Samples(), effects: new Samples() };
    const all = (live: () => Promise<void>) => Promise.all(Array.from({ length: callers }, live));
    const subject = async () => {
      await all(() => noted(times.calls, (note) => engine.life(network, note)));
      // Links are deleted behind the reply; the reference must not meet these deletions in the kernel.
      await linksGone(effects);
    };
    const reference = () => all(() => noted(times.effects, (note) => effects.life(note)));
    for (let round = 0; round * callers < lives; round++) {
      for (const turn of round % 2 === 0 ? [subject, reference] : [reference, subject]) await turn();
    }
    return times;
  }

  /** Figures of containers that left something behind would be worth nothing. */
  async #mustBeEmpty({ kv, net }: BareEffects): Promise<void> {
    const links = await ownLinks(net);
    // the gateway's reservation is the one that stays
    const { count } = await kv.range(
      { prefix: layoutOf('/lanius/v1/').leases(parseCidr(SUBNET)) },
      { countOnly: true },
    );
    if (links.length > 0 || count !== 1) {
      throw new Error(`the containers left ${links.length} links and ${count - 1} leases behind`);
    }
  }
}

function resultsOf(callers: number, calls: Samples, effects: Samples, inside: Samples): Result[] {
  const at = `${callers} caller${callers === 1 ? '' : 's'}`;
  return calls.names().flatMap((method) => {
    const id = `plugin.${callers}.${method}`;
    const name = method === TOTAL ? 'all calls of one container' : method;
    const bare = REFERENCES[method] ?? (method === TOTAL ? 'all bare effects of one container' : undefined);
    const reference =
      bare === undefined ? {} : { reference: { what: bare, value: median(effects.of(method)) } };
    const within = inside.names().includes(method) ? median(inside.of(method)) : undefined;
    const count = calls.of(method).length;
    return [
      resultOf({
        id: `${id}.p50`,
        what: `${at}: ${name}, median of ${count}`,
        value: median(calls.of(method)),
        unit: 'ms',
        ...reference,
      }),
      resultOf({
        id: `${id}.p99`,
        what: `${at}: ${name}, 99th percentile of ${count}`,
        value: percentile(calls.of(method), 99),
        unit: 'ms',
        ...(bare === undefined
          ? {}
          : { reference: { what: bare, value: percentile(effects.of(method), 99) } }),
      }),
      ...(within === undefined
        ? []
        : [
            resultOf({
              id: `${id}.inside`,
              what: `${at}: ${name} by the daemon's own clock, median`,
              value: within,
              unit: 'ms',
            }),
          ]),
    ];
  });
}

await programInside<InsideOptions>(async (options) => (await Bench.start(options)).measure());
