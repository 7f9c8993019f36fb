/**
 * What passed through one link in one direction, made of samples of the kernel's counters: totals that survive a fresh counter,
 * and rates. Pure.
 *
 * A counter that went back is a new one that began at zero (a new limit is a new qdisc). The link's own counter, which counts
 * again when a limit is taken away, has counted all the time: what it says then is where to go on from, and not new. What passed between the last sample of
 * the old one and its end is not counted; at one sample in 10 s that is the most that a total can lack.
 */
import type { PassedTraffic } from '../net/shaping-port.ts';

/** In one direction. */
export interface TrafficFigures {
  /** Since the link was made, as far as it was seen. */
  readonly bytes: number;
  readonly packets: number;
  /** By the limit. */
  readonly drops: number;
  /** Absent until there are two samples; over the last interval where samples are rarer than that. */
  readonly bitsPerSecondOver1s?: number;
  readonly bitsPerSecondOver10s?: number;
  readonly packetsPerSecondOver1s?: number;
  readonly dropsPerSecondOver1s?: number;
}

interface Moment extends PassedTraffic {
  readonly atMs: number;
}

/** A timer may be late, and its sample early: a window that lacks this much is taken for a whole one. */
const SLACK_MS = 200;
const SHORT_MS = 1000;
const LONG_MS = 10_000;

export class TrafficMeter {
  /** Totals at the samples of the last 10 s and one before; the oldest first. */
  #moments: Moment[] = [];
  #counter: PassedTraffic | undefined;

  /** @param atMs monotonic; a sample that is no newer than the last one is passed over */
  add(counter: PassedTraffic, atMs: number): void {
    const last = this.#moments.at(-1);
    if (last !== undefined && atMs <= last.atMs) return;
    const passed = passedSince(this.#counter, counter);
    this.#counter = counter;
    this.#moments.push({
      atMs,
      bytes: (last?.bytes ?? 0) + passed.bytes,
      packets: (last?.packets ?? 0) + passed.packets,
      drops: (last?.drops ?? 0) + passed.drops,
    });
    const old = this.#moments.findLastIndex((moment) => moment.atMs <= atMs - LONG_MS + SLACK_MS);
    if (old > 0) this.#moments = this.#moments.slice(old);
  }

  get figures(): TrafficFigures {
    const now = this.#moments.at(-1);
    if (now === undefined) return { bytes: 0, packets: 0, drops: 0 };
    const { bytes, packets, drops } = now;
    const [short, long] = [this.#since(now, SHORT_MS), this.#since(now, LONG_MS)];
    if (short === undefined || long === undefined) return { bytes, packets, drops };
    return {
      bytes,
      packets,
      drops,
      bitsPerSecondOver1s: 8 * perSecond(now, short, 'bytes'),
      bitsPerSecondOver10s: 8 * perSecond(now, long, 'bytes'),
      packetsPerSecondOver1s: perSecond(now, short, 'packets'),
      dropsPerSecondOver1s: perSecond(now, short, 'drops'),
    };
  }

  /** The newest that is old enough, else the oldest. */
  #since(now: Moment, windowMs: number): Moment | undefined {
    const earlier = this.#moments.slice(0, -1);
    return earlier.findLast(({ atMs }) => atMs <= now.atMs - windowMs + SLACK_MS) ?? earlier[0];
  }
}

function passedSince(before: PassedTraffic | undefined, now: PassedTraffic): PassedTraffic {
  if (before === undefined || (before.counter === 'link' && now.counter === 'shaper')) return now;
  if (before.counter === 'shaper' && now.counter === 'link') return { bytes: 0, packets: 0, drops: 0 };
  const { bytes, packets, drops } = now;
  if (bytes < before.bytes || packets < before.packets || drops < before.drops) return now;
  return { bytes: bytes - before.bytes, packets: packets - before.packets, drops: drops - before.drops };
}

function perSecond(now: Moment, before: Moment, what: 'bytes' | 'packets' | 'drops'): number {
  return Math.round(((now[what] - before[what]) * 1000) / (now.atMs - before.atMs));
}
