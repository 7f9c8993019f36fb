/**
 * The program of one host of `bench alloc`, a process of its own: does what its parent sends it, one job at a time,
 * and answers with what it measured.
 */
import { formatIp, parseCidr } from '../core/ip.ts';
import { AllocHost, type AllocHostOptions } from './alloc-host.ts';
import { rawFenced, rawPut, shrike } from './alloc-subjects.ts';
import { type Churn, type ChurnOptions, churn, type Take } from './callers.ts';
import { type Counts, countsBetween } from './counting-kv.ts';

export type Subject = 'lease' | 'warm' | 'put' | 'fenced' | 'shrike';

export interface Job extends ChurnOptions {
  readonly subject: Subject;
  readonly subnet: string;
}

export interface Outcome {
  readonly churn: Churn<string>;
  readonly counts: Counts;
  /** Processor time of this process, in microseconds. */
  readonly cpuMicros: number;
}

export type Answer = { readonly outcome: Outcome } | { readonly error: string } | { readonly ready: true };

class Worker {
  readonly #host: AllocHost;
  readonly #takes = new Map<string, Take<string>>();

  constructor(host: AllocHost) {
    this.#host = host;
  }

  async do({ subject, subnet, ...options }: Job): Promise<Outcome> {
    const id = `${subject} ${subnet}`;
    const take = this.#takes.get(id) ?? this.#takeOf(subject, subnet);
    this.#takes.set(id, take);
    const before = this.#host.kv.counts;
    const cpuBefore = process.cpuUsage();
    const measured = await churn(take, options);
    const { user, system } = process.cpuUsage(cpuBefore);
    const counts = countsBetween(before, this.#host.kv.counts);
    return { churn: measured, counts, cpuMicros: user + system };
  }

  #takeOf(subject: Subject, subnetText: string): Take<string> {
    const { kv, leases, name, session, transport } = this.#host;
    const subnet = parseCidr(subnetText);
    switch (subject) {
      case 'put':
        return rawPut(transport, name);
      case 'fenced':
        return rawFenced(kv, session, name);
      case 'shrike':
        return shrike(kv, subnet);
      case 'lease':
      case 'warm':
        return async () => {
          const address = await (subject === 'lease' ? this.#host.take(subnet) : this.#host.takeWarm(subnet));
          return { taken: formatIp(address), giveBack: () => leases.release(subnet, address) };
        };
    }
  }
}

function answer(message: Answer): void {
  process.send?.(message);
}

const worker = new Worker(await AllocHost.start(JSON.parse(process.argv[2] ?? '') as AllocHostOptions));
process.on('disconnect', () => process.exit(0));
process.on('message', (job: Job) => {
  worker.do(job).then(
    (outcome) => answer({ outcome }),
    (error: unknown) =>
      answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
answer({ ready: true });
