/**
 * One race: host processes that take and release addresses of a pool that is nearly full, on a real cluster, while
 * hosts and leaders are killed as the plan says; then the faults stop, every host reconciles, and what etcd holds is
 * compared with what the containers have.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdKv } from '../../store/etcd-kv.ts';
import type { EtcdCluster } from '../support/etcd-cluster.ts';
import { layout } from '../support/ipam-host.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type Fault, type Held, heldThroughout, indexFaults, leaks, missing, replay } from './checker.ts';
import { RaceHistory } from './history.ts';
import { HostProcess } from './host-process.ts';
import { fill, SUBNET, snapshot, storyOf, wipe } from './race-etcd.ts';
import { type RacePlan, randomOf } from './race-plan.ts';

export interface RaceOptions {
  readonly plan: RacePlan;
  readonly cluster: EtcdCluster;
  /** False: nothing repairs what a lost answer left. */
  readonly reconcile: boolean;
  readonly sabotage?: string;
  /** The race is given up as wrong after it. */
  readonly limitMs: number;
  /** How soon after the last fault everything must be exact. */
  readonly exactWithinMs: number;
}

export interface RaceResult {
  readonly seed: number;
  readonly pairs: number;
  readonly hostKills: number;
  readonly leaderKills: number;
  /** Times that a host's answers were lost for a while. */
  readonly losses: number;
  readonly unknown: number;
  readonly refused: number;
  readonly duplicates: readonly Fault[];
  /** Found while it ran or at its end: held but not in etcd, index unlike the leases. */
  readonly wrong: readonly Fault[];
  /** Held by nobody, at the end. */
  readonly leaks: readonly Fault[];
  readonly seconds: number;
  /** Everything that is known of one address of each kind of fault. */
  readonly story: readonly string[];
}

const SNAPSHOT_EVERY_MS = 700;

export async function race(options: RaceOptions): Promise<RaceResult> {
  const stateDir = await mkdtemp(join(tmpdir(), 'lanius-race-'));
  const run = new RaceRun(options, stateDir);
  try {
    return await run.run();
  } finally {
    await run.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}

class RaceRun {
  readonly #options: RaceOptions;
  readonly #stateDir: string;
  readonly #history = new RaceHistory();
  readonly #random: () => number;
  readonly #kv: EtcdKv;
  readonly #hosts: HostProcess[] = [];
  /** Of each host, one before each member. */
  readonly #proxies: TcpProxy[][] = [];
  readonly #endsAtMs: number;
  readonly #wrong: Fault[] = [];
  readonly #watching = new AbortController();
  #stopped = false;
  /** Kills under way, and the leaders' in turn. */
  readonly #faults: Promise<unknown>[] = [];
  #leaderFault: Promise<void> = Promise.resolve();
  #filled: Held = new Map();
  #fromRevision = 1;
  #pairs = 0;
  #calls = 0;

  constructor(options: RaceOptions, stateDir: string) {
    const { plan, cluster, limitMs } = options;
    this.#options = options;
    this.#random = randomOf(plan.seed ^ 0x5eed);
    this.#kv = new EtcdKv({ hosts: cluster.hosts, timeoutMs: 2000 });
    this.#endsAtMs = performance.now() + limitMs;
    this.#stateDir = stateDir;
  }

  async run(): Promise<RaceResult> {
    const { plan, reconcile } = this.#options;
    const startedAtMs = performance.now();
    this.#fromRevision = await wipe(this.#kv);
    for (let i = 0; i < plan.hosts; i += 1) this.#hosts.push(await this.#host(i));
    await Promise.all(this.#hosts.map((host) => host.start()));
    this.#filled = await fill(this.#kv, plan.free, this.#random);
    const looks = this.#lookAgainAndAgain(this.#watching.signal);
    await Promise.all(this.#hosts.map((host) => this.#drive(host)));
    await Promise.all(this.#faults);
    await this.#leaderFault;
    this.#watching.abort();
    await looks;
    const left = await this.#settle(reconcile);
    const { faults: duplicates } = this.#replay();
    const examples = [duplicates, this.#wrong, left].flatMap((faults) => faults.slice(0, 1));
    const story = await Promise.all(
      examples.map(({ address }) => storyOf(this.#kv, address, this.#fromRevision, this.#history)),
    );
    return {
      seed: plan.seed,
      pairs: this.#pairs,
      hostKills: plan.hostKills.length,
      leaderKills: this.#history.count('leader killed'),
      losses: this.#history.count('answers lost'),
      unknown: this.#history.unknown,
      refused: this.#history.count('take refused'),
      duplicates,
      wrong: this.#wrong,
      leaks: left,
      seconds: (performance.now() - startedAtMs) / 1000,
      story: story.flat(),
    };
  }

  async stop(): Promise<void> {
    // Callers that still run after a failure must start nothing any more.
    this.#stopped = true;
    this.#watching.abort();
    await Promise.allSettled([...this.#faults, this.#leaderFault]);
    await Promise.all(this.#hosts.map((host) => host.stop()));
    for (const proxy of this.#proxies.flat()) await proxy.stop();
    this.#kv.close();
  }

  async #host(index: number): Promise<HostProcess> {
    const { plan, cluster, reconcile, sabotage } = this.#options;
    let etcd = [...cluster.hosts.slice(index % 3), ...cluster.hosts.slice(0, index % 3)];
    if (plan.losses.length > 0) {
      const proxies = await Promise.all(etcd.map((host) => TcpProxy.start(Number(host.split(':')[1]))));
      this.#proxies.push(proxies);
      etcd = proxies.map(({ host }) => host);
    }
    const name = `h${index + 1}`;
    const setting = {
      name,
      stateDir: join(this.#stateDir, name),
      etcd,
      subnet: SUBNET,
      ...(reconcile ? { reconcileEveryMs: 1500 } : {}),
      ...(sabotage === undefined ? {} : { sabotage }),
    };
    const nextCall = (): number => {
      this.#calls += 1;
      return this.#calls;
    };
    return new HostProcess(setting, this.#history, nextCall);
  }

  /** The callers of one host, which end when all its pairs are done. */
  async #drive(host: HostProcess): Promise<void> {
    const { pairsPerHost, callersPerHost } = this.#options.plan;
    let begun = 0;
    const caller = async (): Promise<void> => {
      while (begun < pairsPerHost) {
        begun += 1;
        await this.#pair(host, begun > pairsPerHost - callersPerHost / 2);
      }
    };
    await Promise.all(Array.from({ length: callersPerHost }, caller));
  }

  /** One address taken, had for a while, and released, or kept at the end. */
  async #pair(host: HostProcess, keep: boolean): Promise<void> {
    const random = this.#random;
    for (;;) {
      this.#check();
      await host.ready;
      const timeoutMs = random() < 0.4 ? 50 + 400 * random() : 4000;
      const address = await host.take(timeoutMs, random() < 0.1 ? this.#lastReleased : undefined);
      if (address === undefined) {
        await sleep(5 + 20 * random());
        continue;
      }
      if (random() < 0.1) host.note(address);
      if (random() < 0.1) await sleep(10 * random());
      if (!keep) {
        this.#lastReleased = address;
        await host.release(address);
      }
      this.#pairs += 1;
      this.#strike();
      return;
    }
  }

  #lastReleased: string | undefined;
  #struck = { hosts: 0, leaders: 0, losses: 0 };

  /** The faults that are due. */
  #strike(): void {
    if (this.#stopped) return;
    const { hostKills, leaderKills, losses } = this.#options.plan;
    const kill = hostKills[this.#struck.hosts];
    if (kill !== undefined && this.#pairs >= kill.atPairs) {
      this.#struck.hosts += 1;
      const host = this.#hosts[kill.host];
      if (host !== undefined) this.#faults.push(host.restart());
    }
    const leader = leaderKills[this.#struck.leaders];
    if (leader !== undefined && this.#pairs >= leader.atPairs) {
      this.#struck.leaders += 1;
      this.#leaderFault = this.#leaderFault.then(() => this.#killLeader(leader.downMs));
    }
    const loss = losses[this.#struck.losses];
    if (loss !== undefined && this.#pairs >= loss.atPairs) {
      this.#struck.losses += 1;
      this.#faults.push(this.#loseAnswers(loss.host, loss.forMs));
    }
  }

  async #loseAnswers(index: number, forMs: number): Promise<void> {
    const host = `h${index + 1}`;
    for (const proxy of this.#proxies[index] ?? []) proxy.loseAnswers(true);
    this.#history.add({ what: 'answers lost', host });
    await sleep(forMs);
    for (const proxy of this.#proxies[index] ?? []) proxy.loseAnswers(false);
    this.#history.add({ what: 'answers back', host });
  }

  async #killLeader(downMs: number): Promise<void> {
    const { cluster } = this.#options;
    const member = await cluster.leader();
    this.#history.add({ what: 'leader killed', member });
    await cluster.kill(member);
    await sleep(downMs);
    await cluster.start(member);
    this.#history.add({ what: 'member back', member });
  }

  #replay(): ReturnType<typeof replay> {
    return replay(this.#history.events, this.#filled);
  }

  /** @throws if a host is gone for good, or the race does not end */
  #check(): void {
    const trouble = this.#hosts.find((host) => host.trouble !== undefined)?.trouble;
    if (trouble !== undefined) throw new Error(`seed ${this.#options.plan.seed}: ${trouble}`);
    if (performance.now() < this.#endsAtMs) return;
    const last = this.#history.events.slice(-30).map((event) => JSON.stringify(event));
    throw new Error(
      `seed ${this.#options.plan.seed}: not done in time, ${this.#pairs} pairs:\n${last.join('\n')}`,
    );
  }

  /** What is held all the time that a look takes must stand in etcd, and the index must be right at any revision. */
  async #lookAgainAndAgain(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const before = this.#replay().held;
      const seen = await snapshot(this.#kv).catch(() => undefined);
      if (seen !== undefined) {
        const held = heldThroughout(before, this.#replay().held);
        this.#wrong.push(...missing(held, seen, layout), ...indexFaults(seen, layout));
      }
      await sleep(SNAPSHOT_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** @returns what nobody holds when everything should be exact; all else that is wrong is noted */
  async #settle(reconcile: boolean): Promise<Fault[]> {
    const untilMs = performance.now() + this.#options.exactWithinMs;
    for (;;) {
      if (reconcile) await Promise.all(this.#hosts.map((host) => host.reconcile()));
      const { held } = this.#replay();
      const seen = await snapshot(this.#kv);
      const left = leaks(held, seen, layout);
      const wrong = [...missing(held, seen, layout), ...indexFaults(seen, layout)];
      const exact = left.length === 0 && wrong.length === 0;
      if (exact || performance.now() > untilMs) {
        this.#wrong.push(...wrong);
        return left;
      }
      await sleep(150);
    }
  }
}
