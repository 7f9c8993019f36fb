/**
 * The program of `bench neigh` inside its namespaces: fills the tables of macvlan links in fresh sandboxes, each once.
 * The kernel worker is the daemon's, and its event loop is watched meanwhile.
 */
import { silentLogger } from '../core/log.ts';
import { KernelWorker } from '../net/kernel-worker.ts';
import { KernelNeighbours } from '../net/neighbours.ts';
import { ip, programInside } from './namespaces.ts';
import { resultsOf } from './neigh-results.ts';
import { Sandbox } from './neigh-sandbox.ts';
import {
  compileFloor,
  type Filling,
  FloorFilling,
  IpBatchFilling,
  LaniusFilling,
  millisecondsOfProcesses,
} from './neigh-subjects.ts';
import type { Result } from './report.ts';
import { Samples } from './statistics.ts';

export interface NeighOptions {
  /** Empty; the C program is compiled there. */
  readonly folder: string;
  /** Entries. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** Processes that are started for what is extrapolated. */
  readonly processes: number;
}

const PARENT = 'up0';

async function measure({ folder, sizes, rounds, processes }: NeighOptions): Promise<Result[]> {
  ip('link', 'add', PARENT, 'type', 'veth', 'peer', 'name', 'up1');
  for (const link of [PARENT, 'up1']) ip('link', 'set', link, 'up');
  const worker = new KernelWorker({}, { log: silentLogger });
  const lanius = new LaniusFilling(new KernelNeighbours(worker));
  const fillings: Filling[] = [lanius, new FloorFilling(compileFloor(folder)), new IpBatchFilling()];
  const samples = new Samples();
  for (let round = 0; round <= rounds; round++) {
    process.stderr.write(round === 0 ? 'warm-up\n' : `round ${round} of ${rounds}\n`);
    for (const size of sizes) {
      for (const filling of round % 2 === 0 ? fillings : fillings.toReversed()) {
        const sandbox = await Sandbox.start(PARENT);
        try {
          const figures = await filling.fill(sandbox, size);
          sandbox.mustHave(size);
          if (round === 0) continue;
          for (const [name, value] of Object.entries(figures)) {
            samples.add(`${filling.name}.${name}.${size}`, value);
          }
        } finally {
          await sandbox.end();
        }
      }
    }
  }
  const sandbox = await Sandbox.start(PARENT);
  const each = await millisecondsOfProcesses(sandbox, processes);
  await sandbox.end();
  await worker.close();
  return resultsOf({ samples, sizes, rounds, processes, millisecondsPerProcess: each });
}

await programInside(measure);
