/**
 * Says to all hosts which addresses this host has itself on the segments of its networks: a machine like any other, whose
 * MAC does not follow from its address, and which containers must ask for. One key a host, written when it changes.
 */

import type { Clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { cidrHas, formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { NetworkRecord } from '../../store/host-records.ts';
import type { Layout } from '../../store/layout.ts';
import type { StationValue } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { MacBook } from '../mac/mac-book.ts';

export interface StationsOptions {
  readonly host: string;
  /** Default 60,000. */
  readonly intervalMs?: number;
}

export interface StationsDependencies {
  readonly layout: Layout;
  readonly committer: Pick<Committer, 'submit'>;
  readonly macs: Pick<MacBook, 'stationOf' | 'ready'>;
  readonly networks: { list(): readonly NetworkRecord[] };
  /** Of all links of this host that are up, as text. */
  readonly addresses: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const INTERVAL_MS = 60_000;
const TIME_MS = 10_000;

export class Stations {
  readonly #options: StationsOptions;
  readonly #deps: StationsDependencies;
  /** Seen in the last look: a link that is down for a moment loses nothing. */
  #before: readonly string[] = [];
  /** Networks that are being made. */
  readonly #coming = new Map<string, NetworkRecord>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  /** Something came while a look was under way. */
  #again = false;

  constructor(options: StationsOptions, deps: StationsDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Looks now and from time to time. Idempotent. */
  start(): void {
    this.look();
    this.#timer ??= setInterval(() => this.look(), this.#options.intervalMs ?? INTERVAL_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Before the first container of a new network asks. Returns at once, never throws. */
  expect(network: NetworkRecord): void {
    this.#coming.set(network.networkId, network);
    this.look();
  }

  /** Returns at once, never throws. */
  look(): void {
    if (this.#looking !== undefined) {
      this.#again = true;
      return;
    }
    this.#looking = this.publish(deadlineAfter(TIME_MS, this.#deps.clock))
      .catch((err: unknown) => this.#deps.logger.warn("this host's own addresses could not be told", { err }))
      .finally(() => {
        this.#looking = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.look();
      });
  }

  /** Idempotent. @throws StoreUnavailable */
  async publish(deadline: Deadline): Promise<void> {
    const { layout, committer, macs } = this.#deps;
    if (!macs.ready) return;
    const here = this.#deps.addresses();
    const wanted = this.#onSegments([...new Set([...here, ...this.#before])]).sort();
    this.#before = here;
    const value: StationValue = { v: 1, addresses: wanted };
    const text = wanted.length === 0 ? undefined : JSON.stringify(value);
    if (text === macs.stationOf(this.#options.host)) return;
    const key = layout.station(this.#options.host);
    const operation =
      text === undefined
        ? ({ do: 'delete', range: { key } } as const)
        : ({ do: 'put', key, value: text } as const);
    await committer.submit({ lockKey: key, txn: { compare: [], success: [operation] }, deadline });
  }

  #onSegments(addresses: readonly string[]): string[] {
    const networks = this.#deps.networks.list();
    for (const { networkId } of networks) this.#coming.delete(networkId);
    const subnets = [...networks, ...this.#coming.values()]
      .flatMap((network) => network.subnets.map(({ subnet }) => parseCidr(subnet)))
      .filter(({ family }) => family === 4);
    return addresses
      .map(parseIp)
      .filter((address) => subnets.some((subnet) => cidrHas(subnet, address)))
      .map(formatIp);
  }
}
