/** What the ARP benchmark measured, as results with their limits. Pure. */
import { type ArpFrame, announcementsOf, questionsFor } from '../test/support/arp-wire.ts';
import type { ArpMode } from './arp-network.ts';
import type { Talk } from './arp-talk.ts';
import type { KernelMemory } from './kernel-memory.ts';
import { type Result, resultOf } from './report.ts';
import { median, percentile } from './statistics.ts';

/** Of one kind of `-o arp`. */
export interface ModeFigures {
  readonly mode: ArpMode;
  readonly machines: number;
  /** Of all containers. */
  readonly ips: readonly string[];
  readonly talk: Talk;
  /** ARP broadcasts from before the first start to the end of the talk. */
  readonly frames: readonly ArpFrame[];
  /** With one container a machine, and with all. */
  readonly withOne: KernelMemory;
  readonly withAll: KernelMemory;
}

const FIRST_PING_MOST_MS = 1;
const KIB = 1024;

/** @param all with `off` first: what the others' memory is compared with */
export function arpResults(all: readonly ModeFigures[]): Result[] {
  const off = all.find(({ mode }) => mode === 'off');
  return all.flatMap((figures) => [
    ...wireResults(figures),
    ...pingResults(figures),
    ...memoryResults(figures, off),
  ]);
}

function wireResults({ mode, ips, frames, talk }: ModeFigures): Result[] {
  const questions = questionsFor(frames, ips).length;
  const what = `arp=${mode}: ARP broadcasts for leased addresses, ${ips.length} containers all to all`;
  return [
    resultOf({
      id: `arp.${mode}.broadcasts`,
      what,
      value: questions,
      unit: 'frames',
      ...(mode === 'off' ? { atLeast: 1 } : { atMost: 0 }),
    }),
    resultOf({
      id: `arp.${mode}.announcements`,
      what: `arp=${mode}: gratuitous ARP at their starts, which moves an address to its new host at once`,
      value: announcementsOf(frames, ips).length,
      unit: 'frames',
    }),
    resultOf({
      id: `arp.${mode}.lost`,
      what: `arp=${mode}: pings lost, of ${2 * ips.length * (ips.length - 1)} in turn and ${talk.together.sent} at once`,
      value: talk.lost + talk.together.lost,
      unit: 'pings',
      atMost: 0,
    }),
  ];
}

function pingResults({ mode, talk }: ModeFigures): Result[] {
  const limit = mode === 'responder' ? { atMost: FIRST_PING_MOST_MS } : {};
  return [
    resultOf({
      id: `arp.${mode}.first-ping.median`,
      what: `arp=${mode}: round trip of a pair's first ping, median of ${talk.firstMs.length}`,
      value: median(talk.firstMs),
      unit: 'ms',
      ...limit,
    }),
    resultOf({
      id: `arp.${mode}.first-ping.p99`,
      what: `arp=${mode}: the same, 99th percentile`,
      value: percentile(talk.firstMs, 99),
      unit: 'ms',
      ...limit,
    }),
    resultOf({
      id: `arp.${mode}.second-ping.median`,
      what: `arp=${mode}: the same pairs again, median`,
      value: median(talk.secondMs),
      unit: 'ms',
    }),
  ];
}

function memoryResults(figures: ModeFigures, off: ModeFigures | undefined): Result[] {
  const { mode, machines, withOne, withAll } = figures;
  const each = (one: ModeFigures): number =>
    (one.withAll.slabBytes - one.withOne.slabBytes) / Math.max(1, one.ips.length - one.machines);
  const more = off === undefined ? Number.NaN : (each(figures) - each(off)) / KIB;
  const results = [
    resultOf({
      id: `arp.${mode}.memory.container`,
      what:
        mode === 'off'
          ? 'arp=off: kernel memory (SUnreclaim) for each further container'
          : `arp=${mode}: the same, beyond arp=off`,
      value: mode === 'off' ? each(figures) / KIB : more,
      unit: 'KiB',
    }),
  ];
  if (mode !== 'responder') return results;
  return [
    ...results,
    resultOf({
      id: 'arp.responder.memory.host',
      what: `arp=responder: BPF maps and programs of a host with all its containers, against one container`,
      value: withAll.bpfBytes / machines / KIB,
      unit: 'KiB',
      reference: { what: 'with one container', value: withOne.bpfBytes / machines / KIB },
      atMost: 1,
    }),
    resultOf({
      id: 'arp.responder.objects.host',
      what: 'arp=responder: BPF maps and programs of a host with all its containers, against one container',
      value: withAll.bpfObjects / machines,
      unit: 'objects',
      reference: { what: 'with one container', value: withOne.bpfObjects / machines },
      atMost: 1,
    }),
  ];
}
