/**
 * 50 containers on three machines talk all to all, with each kind of `-o arp`: ARP broadcasts on the segment, the first
 * ping of each pair, and kernel memory. The broadcasts are counted at the switch, from before the first container starts.
 */
import { captureArp } from '../test/support/arp-wire.ts';
import { distFolder } from '../test/support/checkout.ts';
import { ENGINES, flatLab, removeAll, startMany } from '../test/support/flat.ts';
import type { Lab } from '../test/support/lab.ts';
import { runOk } from '../test/support/run.ts';
import { type ArpMode, createArpNetwork, inForce, talkersOf } from './arp-network.ts';
import { arpResults, type ModeFigures } from './arp-results.ts';
import type { Talk } from './arp-talk.ts';
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { freeMemory, kernelMemory, neighbourRoom } from './kernel-memory.ts';
import type { Result } from './report.ts';

const MODES: readonly ArpMode[] = ['off', 'preload', 'responder'];
/** Containers of each machine. */
const FULL = [17, 17, 16] as const;
const QUICK = [3, 3, 2] as const;
/** Entries of other peers that the kernel must hold: all to all, on three machines that are one. */
const NEIGHBOURS = 16_384;

export const arpBenchmark: Benchmark = {
  name: 'arp',
  about: 'ARP broadcasts, first pings and kernel memory while 50 containers on 3 machines talk all to all',
  needs: 'root and the lab (test/lab/bin/lab-setup); raises net.ipv4.neigh.default.gc_thresh* meanwhile',
  measure,
};

async function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  say('lab up');
  const restore = neighbourRoom(NEIGHBOURS);
  try {
    const lab = await flatLab({
      lab: { machines: ENGINES.map((engine, i) => ({ name: `b${i + 1}`, engine })), etcd: true },
    });
    try {
      const figures: ModeFigures[] = [];
      for (const mode of MODES) {
        say(`arp=${mode}`);
        figures.push(await measureMode(lab, mode, quick ? QUICK : FULL));
      }
      return arpResults(figures);
    } finally {
      lab.down();
    }
  } finally {
    restore();
  }
}

async function measureMode(lab: Lab, mode: ArpMode, counts: readonly number[]): Promise<ModeFigures> {
  const network = `arp-${mode}`;
  await Promise.all(lab.machines.map((machine) => createArpNetwork(machine, mode)));
  const start = async (count: (index: number) => number, prefix: string): Promise<void> => {
    const outcomes = await Promise.all(
      lab.machines.map((machine, index) => startMany(machine, count(index), prefix, network)),
    );
    const refused = outcomes.flat().find(({ status }) => status !== 0);
    if (refused !== undefined) throw new Error(`arp=${mode}: ${refused.stderr}`);
    await inForce(lab, mode);
  };

  const capture = await captureArp();
  await start(() => 1, 'one');
  await freeMemory();
  const withOne = kernelMemory();
  await start((index) => (counts[index] ?? 0) - 1, 'c');
  await freeMemory();
  const withAll = kernelMemory();
  const talkers = await talkersOf(lab, network);
  const program = `${distFolder}/bench/arp-talk.js`;
  const said = await runOk([process.execPath, program, JSON.stringify(talkers)], { timeoutMs: 300_000 });
  const frames = await capture.stop();

  await Promise.all(lab.machines.map(removeAll));
  await Promise.all(lab.machines.map((machine) => machine.docker('network', 'rm', network)));
  return {
    mode,
    machines: lab.machines.length,
    ips: talkers.map(({ ip }) => ip),
    talk: JSON.parse(said) as Talk,
    frames,
    withOne,
    withAll,
  };
}
