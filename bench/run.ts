/**
 * `docker run --rm IMAGE true` with Lanius against the engine's built-in macvlan driver: the same machine, parent, image
 * and shape of network, in pairs of which either goes first in turn. One lab machine after the other, so that engines
 * do not disturb each other; the lab's etcd syncs to disk.
 */
import { distFolder } from '../test/support/checkout.ts';
import { createNetwork, ENGINES, IMAGE } from '../test/support/flat.ts';
import { Lab } from '../test/support/lab.ts';
import type { EngineVersion, Machine } from '../test/support/machine.ts';
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { callDurations } from './plugin-log.ts';
import { type Result, resultOf } from './report.ts';
import { median, pairRatios } from './statistics.ts';
import type { StopwatchOptions, Timings } from './stopwatch.ts';

const LANIUS = 'flat';
const BUILT_IN = 'builtin';
const REFERENCE = 'built-in macvlan';
/** A container's start may cost this much more than with the engine's own driver. */
const MOST = 1.1;
const PARALLEL = 8;
/** What the engine calls for one container. */
const LIFE = [
  'RequestAddress',
  'CreateEndpoint',
  'Join',
  'ProgramExternalConnectivity',
  'EndpointOperInfo',
  'RevokeExternalConnectivity',
  'Leave',
  'DeleteEndpoint',
  'ReleaseAddress',
];

export const runBenchmark: Benchmark = {
  name: 'run',
  about: 'docker run with Lanius against the built-in macvlan driver, on engines 20.10, 26.1 and 28.5',
  needs: 'root and the lab (test/lab/bin/lab-setup)',
  measure,
};

async function measure(options: BenchmarkOptions): Promise<Result[]> {
  const results: Result[] = [];
  for (const engine of ENGINES) results.push(...(await measureEngine(engine, options)));
  return results;
}

async function measureEngine(engine: EngineVersion, { quick, say }: BenchmarkOptions): Promise<Result[]> {
  say(`engine ${engine}: lab up`);
  const lab = await Lab.up({ machines: [{ name: 'b1', engine }], etcd: true });
  try {
    const machine = lab.machine('b1');
    await machine.startLanius({ etcd: { hosts: [lab.etcd.endpoint] } });
    await machine.startEngine();
    await createNetwork(machine, { name: LANIUS, subnet: '10.78.0.0/16', gateway: '10.78.0.1' });
    const shape = ['--subnet', '10.79.0.0/16', '--gateway', '10.79.0.1', '-o', 'parent=eth0'];
    await machine.docker('network', 'create', '-d', 'macvlan', ...shape, BUILT_IN);

    const pairs = quick ? 4 : 20;
    say(`engine ${engine}: ${pairs} pairs, one container at a time`);
    await time(machine, { parallel: 1, pairs: 0, warmUpPairs: quick ? 1 : 3 });
    const before = (await machine.log('lanius')).length;
    const alone = await time(machine, { parallel: 1, pairs, warmUpPairs: 0 });
    const log = (await machine.log('lanius')).slice(before);
    const rounds = quick ? 2 : 8;
    say(`engine ${engine}: ${rounds} pairs, ${PARALLEL} containers at a time`);
    const together = await time(machine, { parallel: PARALLEL, pairs: rounds, warmUpPairs: 1 });
    return [...startResults(engine, alone, together), ...insideResults(engine, log)];
  } finally {
    lab.down();
  }
}

async function time(
  machine: Machine,
  options: Pick<StopwatchOptions, 'parallel' | 'pairs' | 'warmUpPairs'>,
): Promise<Timings> {
  const asked: StopwatchOptions = { image: IMAGE, networks: [LANIUS, BUILT_IN], ...options };
  const program = `${distFolder}/bench/stopwatch.js`;
  const ran = await machine.exec(['node', program, JSON.stringify(asked)], { timeoutMs: 300_000 });
  if (ran.status !== 0) throw new Error(`the stopwatch: status ${ran.status}; ${ran.stderr}`);
  return JSON.parse(ran.stdout) as Timings;
}

function startResults(engine: EngineVersion, alone: Timings, together: Timings): Result[] {
  return [
    resultOf({
      id: `run.${engine}.median`,
      what: `engine ${engine}: docker run --rm ${IMAGE} true, median of ${alone.length}`,
      unit: 's',
      ...compared(alone),
      atMost: MOST,
    }),
    resultOf({
      id: `run.${engine}.pairs`,
      what: `engine ${engine}: the same, median of the ratios of the ${alone.length} pairs`,
      value: median(pairRatios(alone)),
      unit: '×',
    }),
    resultOf({
      id: `run.${engine}.parallel${PARALLEL}`,
      what: `engine ${engine}: ${PARALLEL} at once until all have ended, median of ${together.length}`,
      unit: 's',
      ...compared(together),
    }),
  ];
}

/** What of it passes inside the plugin, by the daemon's own log. */
function insideResults(engine: EngineVersion, log: string): Result[] {
  const durations = callDurations(log);
  const called = LIFE.filter((method) => durations.names().includes(method));
  const medians = called.map((method) => ({ method, value: median(durations.of(method)) }));
  return [
    resultOf({
      id: `run.${engine}.inside.total`,
      what: `engine ${engine}: time inside the plugin for one container, sum of the medians of its calls`,
      value: medians.reduce((sum, { value }) => sum + value, 0),
      unit: 'ms',
    }),
    ...medians.map(({ method, value }) =>
      resultOf({
        id: `run.${engine}.inside.${method}`,
        what: `engine ${engine}: inside ${method}, median of ${durations.of(method).length}`,
        value,
        unit: 'ms',
      }),
    ),
  ];
}

function compared(timings: Timings) {
  return {
    value: median(timings.map(([lanius]) => lanius)),
    reference: { what: REFERENCE, value: median(timings.map(([, builtIn]) => builtIn)) },
  };
}
