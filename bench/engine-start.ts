/**
 * The start of the engine on a host with Lanius and a network of it, against the same network of the engine's built-in macvlan
 * driver without Lanius: the same machine and image, in pairs of which either goes first in turn. The daemon of Lanius is
 * started anew before each start, as a boot does, so that it is asked cold. The time is what the engine's own log says.
 */
import { createNetwork, ENGINES } from '../test/support/flat.ts';
import { Lab } from '../test/support/lab.ts';
import type { EngineVersion, Machine } from '../test/support/machine.ts';
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { type Result, resultOf } from './report.ts';
import { median } from './statistics.ts';

/** An engine with Lanius may take this much longer to start. */
const MOST = 1.1;
const SHAPE = { name: 'flat', subnet: '10.78.0.0/16', gateway: '10.78.0.1' } as const;

export const engineStartBenchmark: Benchmark = {
  name: 'engine-start',
  about: "the engine's start with Lanius against its start with its own macvlan driver",
  needs: 'root and the lab (test/lab/bin/lab-setup)',
  measure: async (options) => {
    const results: Result[] = [];
    for (const engine of ENGINES) results.push(await measureEngine(engine, options));
    return results;
  },
};

async function measureEngine(engine: EngineVersion, { quick, say }: BenchmarkOptions): Promise<Result> {
  say(`engine ${engine}: lab up`);
  const lab = await Lab.up({ machines: [{ name: 'b1', engine }], etcd: true });
  try {
    const machine = lab.machine('b1');
    await machine.writeConfig({ etcd: { hosts: [lab.etcd.endpoint] } });
    await machine.startEngine();
    const pairs = quick ? 2 : 11;
    const [lanius, builtIn]: [number[], number[]] = [[], []];
    for (let pair = 0; pair <= pairs; pair += 1) {
      const first = pair % 2 === 0;
      const times = first
        ? [await withLanius(machine), await withBuiltIn(machine)]
        : [await withBuiltIn(machine), await withLanius(machine)].reverse();
      say(`engine ${engine}: ${times.map((ms) => `${ms} ms`).join(' with Lanius, ')} without`);
      // the first pair warms the disk's cache
      if (pair === 0) continue;
      lanius.push(times[0] ?? Number.NaN);
      builtIn.push(times[1] ?? Number.NaN);
    }
    return resultOf({
      id: `engine-start.${engine}`,
      what: `engine ${engine}: from its first word until it serves, with a network and no containers, median of ${pairs}`,
      value: median(lanius),
      unit: 'ms',
      reference: { what: 'with its own macvlan driver, without Lanius', value: median(builtIn) },
      atMost: MOST,
    });
  } finally {
    lab.down();
  }
}

async function withLanius(machine: Machine): Promise<number> {
  await machine.startLanius();
  await createNetwork(machine, SHAPE);
  await machine.stopEngine();
  await machine.restartLanius();
  const took = await engineStart(machine);
  await machine.docker('network', 'rm', SHAPE.name);
  await machine.stopLanius();
  return took;
}

async function withBuiltIn(machine: Machine): Promise<number> {
  const shape = ['--subnet', SHAPE.subnet, '--gateway', SHAPE.gateway, '-o', 'parent=eth0'];
  await machine.docker('network', 'create', '-d', 'macvlan', ...shape, SHAPE.name);
  await machine.stopEngine();
  const took = await engineStart(machine);
  await machine.docker('network', 'rm', SHAPE.name);
  return took;
}

/** In ms, by the times in the engine's log. */
async function engineStart(machine: Machine): Promise<number> {
  const before = (await machine.log('dockerd')).length;
  await machine.startEngine();
  return startTime((await machine.log('dockerd')).slice(before));
}

/**
 * @param log what one start of dockerd has written
 * @returns ms from "Starting up" to "Daemon has completed initialization"; NaN if one of them is missing
 */
export function startTime(log: string): number {
  const at = (message: string): number =>
    Date.parse(new RegExp(`time="([^"]+)" level=info msg="${message}"`).exec(log)?.[1] ?? '');
  return Math.round(at('Daemon has completed initialization') - at('Starting up'));
}
