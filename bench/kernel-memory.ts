/** Kernel memory that benchmarks look at, and room in the kernel's neighbour table; both are of the whole machine. */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { bpfObjects } from './bpf-objects.ts';

export interface KernelMemory {
  /** Slab memory that cannot be reclaimed: neighbours, links, namespaces. */
  readonly slabBytes: number;
  /** BPF maps and programs: how many, and what they have charged. */
  readonly bpfObjects: number;
  readonly bpfBytes: number;
}

const NEIGHBOURS = '/proc/sys/net/ipv4/neigh/default';
/** Until the kernel has freed what was deleted. */
const SETTLE_MS = 2000;

export function kernelMemory(): KernelMemory {
  const line = /^SUnreclaim: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  const objects = bpfObjects();
  return {
    slabBytes: Number(line?.[1]) * 1024,
    bpfObjects: objects.length,
    bpfBytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Waits until deleted objects are gone and the counters are exact to some pages. */
export async function freeMemory(): Promise<void> {
  await sleep(SETTLE_MS);
  writeFileSync('/proc/sys/vm/stat_refresh', '1');
}

/**
 * Lets the kernel hold so many neighbours; never lowers a threshold.
 * @returns puts back what was
 */
export function neighbourRoom(entries: number): () => void {
  const files = [3, 2, 1].map((number) => `${NEIGHBOURS}/gc_thresh${number}`);
  const before = files.map((file) => readFileSync(file, 'utf8').trim());
  for (const [index, file] of files.entries()) {
    if (Number(before[index]) < entries) writeFileSync(file, String(entries));
  }
  return () => {
    for (const [index, file] of files.entries()) writeFileSync(file, before[index] ?? '');
  };
}
