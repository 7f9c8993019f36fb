/**
 * One TCP stream of iperf3 between two machines: between containers on Lanius macvlan, on Lanius bridge mode and on the
 * engine's own macvlan, and between the machines themselves. In rounds, each of which has all of them, in an order that
 * turns; so whatever else the machine does meets all.
 *
 * Networks of mode bridge need a parent of their own: a link is either port of a bridge or parent of macvlans.
 */
import { letBridgePass } from '../test/support/bridge-pass.ts';
import { labPrefix } from '../test/support/checkout.ts';
import { plugCable } from '../test/support/extra-cable.ts';
import { IMAGE, labConfig } from '../test/support/flat.ts';
import { Lab } from '../test/support/lab.ts';
import type { Machine } from '../test/support/machine.ts';
import { runOk } from '../test/support/run.ts';
import { sandboxOf } from '../test/support/sandboxes.ts';
import type { Benchmark, BenchmarkOptions } from './benchmark.ts';
import { Iperf } from './iperf.ts';
import type { Result } from './report.ts';
import { type Rates, SUBJECTS, type Subject, throughputResults } from './throughput-results.ts';

const ENGINE = '28.5';

export const throughputBenchmark: Benchmark = {
  name: 'throughput',
  about: 'iperf3 through Lanius macvlan, Lanius bridge mode, built-in macvlan and the hosts themselves',
  needs: 'root, the lab (test/lab/bin/lab-setup) and iperf3',
  measure,
};

async function measure({ quick, say }: BenchmarkOptions): Promise<Result[]> {
  await runOk(['iperf3', '--version']);
  say('lab up');
  const lab = await Lab.up({
    machines: [
      { name: 't1', engine: ENGINE },
      { name: 't2', engine: ENGINE },
    ],
    etcd: true,
  });
  const streams: Iperf[] = [];
  try {
    await Promise.all(lab.machines.map((machine) => prepare(lab, machine)));
    const [client, server] = [lab.machine('t1'), lab.machine('t2')];
    const bySubject = new Map<Subject, Iperf>();
    for (const subject of SUBJECTS) {
      const stream = await Iperf.start(await endOf(client, subject), await endOf(server, subject));
      streams.push(stream);
      bySubject.set(subject, stream);
    }
    return throughputResults(await rounds(bySubject, quick ? 3 : 15, quick ? 1 : 2, say));
  } finally {
    for (const stream of streams) stream.end();
    lab.down();
  }
}

async function prepare(lab: Lab, machine: Machine): Promise<void> {
  await plugCable(machine, 'eth1');
  await machine.startLanius(labConfig(lab, { log: { level: 'info' } }));
  await machine.startEngine();
  for (const [subject, words] of Object.entries(NETWORKS)) {
    await machine.docker('network', 'create', ...words, subject);
  }
  await letBridgePass(machine, 'br-eth1');
  // the built-in driver counts addresses on each host alone, so they are chosen here, for all alike
  const last = machine.name === 't1' ? 1 : 2;
  for (const [subject, prefix] of Object.entries(PREFIXES)) {
    const place = ['--network', subject, '--ip', `${prefix}.1.${last}`];
    await machine.docker('run', '-d', '--name', subject, ...place, IMAGE, 'sleep', '100000');
  }
}

type InContainers = Exclude<Subject, 'host'>;
const PREFIXES: Readonly<Record<InContainers, string>> = {
  'lanius-macvlan': '10.81',
  'lanius-bridge': '10.82',
  'builtin-macvlan': '10.83',
};
const NETWORKS: Readonly<Record<InContainers, readonly string[]>> = {
  'lanius-macvlan': ['-d', 'lanius', '--ipam-driver', 'lanius', ...shape('10.81'), '-o', 'parent=eth0'],
  'lanius-bridge': [
    ...['-d', 'lanius', '--ipam-driver', 'lanius', ...shape('10.82')],
    ...['-o', 'mode=bridge', '-o', 'parent=eth1'],
  ],
  'builtin-macvlan': ['-d', 'macvlan', ...shape('10.83'), '-o', 'parent=eth0'],
};

function shape(prefix: string): string[] {
  return ['--subnet', `${prefix}.0.0/16`, '--gateway', `${prefix}.0.1`];
}

async function endOf(machine: Machine, subject: Subject) {
  if (subject === 'host')
    return { namespacePath: `/run/netns/${labPrefix()}${machine.name}`, ip: machine.address };
  const { path } = await sandboxOf(machine, subject);
  const ip = await machine.docker(
    ...['inspect', '-f', `{{(index .NetworkSettings.Networks "${subject}").IPAddress}}`, subject],
  );
  return { namespacePath: path, ip };
}

async function rounds(
  streams: ReadonlyMap<Subject, Iperf>,
  count: number,
  seconds: number,
  say: (line: string) => void,
): Promise<Rates[]> {
  say(`${count} rounds of ${seconds} s each`);
  for (const stream of streams.values()) await stream.measure(1);
  const all: Rates[] = [];
  for (let round = 0; round < count; round++) {
    const turned = [
      ...SUBJECTS.slice(round % SUBJECTS.length),
      ...SUBJECTS.slice(0, round % SUBJECTS.length),
    ];
    const rates = new Map<Subject, number>();
    for (const subject of turned) rates.set(subject, (await streams.get(subject)?.measure(seconds)) ?? 0);
    all.push(Object.fromEntries(rates) as Rates);
  }
  return all;
}
