/** The hosts of `bench alloc` seen from its parent: worker processes that do a job at the same time. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { distFolder } from '../test/support/checkout.ts';
import type { AllocHostOptions } from './alloc-host.ts';
import type { Answer, Job, Outcome } from './alloc-worker.ts';

/** What all workers of one job did together. */
export interface TeamOutcome {
  /** Of each taking, in milliseconds. */
  readonly takings: readonly number[];
  /** Things taken a second. */
  readonly rate: number;
  readonly outcomes: readonly Outcome[];
}

export class AllocFleet {
  readonly #workers: readonly ChildProcess[];

  private constructor(workers: readonly ChildProcess[]) {
    this.#workers = workers;
  }

  /** Each is a host with a session of its own; they end with this process. */
  static async start(count: number, options: Omit<AllocHostOptions, 'name'>): Promise<AllocFleet> {
    const workers = Array.from({ length: count }, (_, index) => {
      const words = [JSON.stringify({ ...options, name: `worker-${index + 1}` } satisfies AllocHostOptions)];
      return fork(`${distFolder}/bench/alloc-worker.js`, words, { serialization: 'advanced' });
    });
    const fleet = new AllocFleet(workers);
    await Promise.all(workers.map(answerOf)).catch(async (error: unknown) => {
      await fleet.stop();
      throw error;
    });
    return fleet;
  }

  /** The first `processes` hosts share the callers. @param callers of all together, a multiple of `processes` */
  async do(processes: number, { callers, ...job }: Job): Promise<TeamOutcome> {
    const team = this.#workers.slice(0, processes);
    const answers = team.map(answerOf);
    for (const worker of team) worker.send({ ...job, callers: callers / processes } satisfies Job);
    const outcomes = (await Promise.all(answers)).flatMap((answer) =>
      'outcome' in answer ? [answer.outcome] : [],
    );
    const takings = outcomes.flatMap(({ churn }) => churn.takings);
    const longestMs = Math.max(...outcomes.map(({ churn }) => churn.elapsedMs));
    return { takings, rate: (takings.length * 1000) / longestMs, outcomes };
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (worker.exitCode !== null || worker.signalCode !== null) return;
        const ended = once(worker, 'exit');
        if (worker.connected) worker.disconnect();
        await ended;
      }),
    );
  }
}

/** The next message of a worker. @throws what it failed with */
async function answerOf(worker: ChildProcess): Promise<Answer> {
  const control = new AbortController();
  const { signal } = control;
  const ended = once(worker, 'exit', { signal }).then(([status]): never => {
    throw new Error(`a worker ended with status ${String(status)}`);
  });
  try {
    const [answer] = (await Promise.race([once(worker, 'message', { signal }), ended])) as [Answer];
    if ('error' in answer) throw new Error(`a worker failed: ${answer.error}`);
    return answer;
  } finally {
    ended.catch(() => {});
    control.abort();
  }
}
