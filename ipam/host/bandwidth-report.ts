/**
 * Says to all hosts what this one has given out of the bandwidth of its parents, and what is free: for people and for
 * schedulers, who decide nothing by it that the host does not decide again. One key a host, written when it changes.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import type { Logger } from '../../core/log.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { type BandwidthValue, bandwidthSchema, decode, type ParentBandwidth } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';

/** Of one direction, in bits a second. */
export interface CountedBandwidth {
  readonly capacity?: number;
  readonly committed: number;
  readonly free?: number;
}

/** Of one parent; `in` is what its containers receive. */
export interface CountedParent {
  readonly parent: string;
  readonly in: CountedBandwidth;
  readonly out: CountedBandwidth;
}

export interface BandwidthReportOptions {
  readonly host: string;
  readonly overcommit: number;
  /** Changes are gathered that long, in milliseconds. Default 500. */
  readonly gatherMs?: number;
  /** Between two looks whether etcd still has it, in milliseconds. Default 60,000. */
  readonly intervalMs?: number;
}

export interface BandwidthReportDependencies {
  readonly kv: Pick<KvPort, 'range'>;
  readonly layout: Layout;
  readonly committer: Pick<Committer, 'submit'>;
  /** As counted now, of all parents of this host's networks. From memory. */
  readonly figures: () => readonly CountedParent[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const GATHER_MS = 500;
const INTERVAL_MS = 60_000;
const TIME_MS = 10_000;
const RETRY_MS = 5000;

type Parents = BandwidthValue['parents'];

export class BandwidthReport {
  readonly #options: BandwidthReportOptions;
  readonly #deps: BandwidthReportDependencies;
  /** What etcd has, as far as is known; undefined: it must be looked at. */
  #told: Parents | undefined;
  #started = false;
  #timer: NodeJS.Timeout | undefined;
  #interval: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(options: BandwidthReportOptions, deps: BandwidthReportDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** From now on etcd is told; the session must be held. Idempotent. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#soon(0);
    this.#interval = setInterval(() => {
      this.#told = undefined;
      this.#soon(0);
    }, this.#options.intervalMs ?? INTERVAL_MS).unref();
  }

  /** The figures may be others now. Returns at once, never throws. */
  changed(): void {
    if (this.#started) this.#soon(this.#options.gatherMs ?? GATHER_MS);
  }

  /** What is told stays. */
  async close(): Promise<void> {
    this.#started = false;
    clearTimeout(this.#timer);
    clearInterval(this.#interval);
    await this.#work;
  }

  #soon(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // One after the other, so that the last one told is the newest.
      this.#work = this.#work.then(() => this.#report());
    }, delayMs).unref();
  }

  async #report(): Promise<void> {
    try {
      await this.#publish();
    } catch (err) {
      this.#told = undefined;
      this.#deps.logger.debug("this host's bandwidth could not be told, it is tried again", { err });
      if (this.#started) this.#soon(RETRY_MS);
    }
  }

  async #publish(): Promise<void> {
    const { layout, committer, clock, figures } = this.#deps;
    const key = layout.bandwidth(this.#options.host);
    const parents = Object.fromEntries(
      figures().map((one) => [one.parent, bandwidthOf(one, this.#options.overcommit)]),
    );
    this.#told ??= await this.#read(key);
    if (isDeepStrictEqual(parents, this.#told)) return;
    const value: BandwidthValue = { v: 1, at: clock.wall(), parents };
    const operation =
      Object.keys(parents).length === 0
        ? ({ do: 'delete', range: { key } } as const)
        : ({ do: 'put', key, value: JSON.stringify(value) } as const);
    await committer.submit({
      lockKey: key,
      txn: { compare: [], success: [operation] },
      deadline: deadlineAfter(TIME_MS, clock),
    });
    this.#told = parents;
  }

  /** @returns no parents where there is nothing; undefined where what stands there cannot be read */
  async #read(key: string): Promise<Parents | undefined> {
    const [standing] = (await this.#deps.kv.range({ key })).kvs;
    if (standing === undefined) return {};
    try {
      return decode(bandwidthSchema, key, standing.value).parents;
    } catch {
      return undefined;
    }
  }
}

function bandwidthOf({ in: inward, out }: CountedParent, overcommit: number): ParentBandwidth {
  return {
    ...(inward.capacity === undefined ? {} : { capacityInBitsPerSecond: inward.capacity }),
    ...(out.capacity === undefined ? {} : { capacityOutBitsPerSecond: out.capacity }),
    committedInBitsPerSecond: inward.committed,
    committedOutBitsPerSecond: out.committed,
    ...(inward.free === undefined ? {} : { freeInBitsPerSecond: inward.free }),
    ...(out.free === undefined ? {} : { freeOutBitsPerSecond: out.free }),
    overcommit,
  };
}
