import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { captureArp, questionsFor } from '../support/arp-wire.ts';
import type { Arrival, ArrivalWatch } from '../support/arrival-watch.ts';
import { distFolder } from '../support/checkout.ts';
import { onEach } from '../support/crash.ts';
import { flatLab, IMAGE, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';
import { sandboxOf } from '../support/sandboxes.ts';

interface Shape {
  readonly subnet: string;
  readonly gateway: string;
  readonly options: readonly string[];
  /** What is put in force. */
  readonly setting: ArrivalWatch['setting'];
}

const NETWORKS = {
  pre: { ...slash16('10.80'), options: ['-o', 'arp=preload'], setting: 'preload' },
  res: { ...slash16('10.81'), options: ['-o', 'arp=responder'], setting: 'responder' },
  auto: { ...slash16('10.82'), options: [], setting: 'responder' },
  small: { subnet: '10.83.0.0/20', gateway: '10.83.0.1', options: [], setting: 'preload' },
} as const satisfies Readonly<Record<string, Shape>>;
type Name = keyof typeof NETWORKS;
/** 65,534 usable addresses without the gateway and the container's own. */
const PLANNED = 65_534 - 2;
/**
 * How long after the link's arrival the setting may come, on engines that do not wait for it: on a machine that does
 * nothing else (`QUIET=1`). Beside other tests the figures are printed, and only what nobody could call soon fails.
 */
const IN_FORCE_MS = process.env['QUIET'] === '1' ? 50 : 1000;
/** Writing 65,532 entries alone takes the kernel 50 to 100 ms; `auto` takes the responder for so many. */
const WHOLE_TABLE_MS = process.env['QUIET'] === '1' ? 250 : 2000;
const ROUNDS = 5;

describe('e2e/arp-table: a /16 is known when a container starts, three engines', function () {
  this.timeout(180_000);
  let lab: Lab;
  let newest: Machine;
  const peers = new Map<Name, string>();

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab();
    newest = lab.machine('h3');
    for (const [name, { subnet, gateway, options }] of Object.entries(NETWORKS)) {
      const pool = ['--ipam-driver', 'lanius', '--subnet', subnet, '--gateway', gateway];
      const words = ['-d', 'lanius', ...pool, '-o', 'parent=eth0', ...options, name];
      await onEach(lab, (machine) => machine.docker('network', 'create', ...words));
      await start(lab.machine('h1'), `peer-${name}`, name as Name);
      const [peer] = await running(lab.machine('h1'), name);
      peers.set(name as Name, peer?.ip ?? '');
    }
  });
  after(() => lab?.down());

  it('preload, engine 28.5: the first thing that a container does sees all 65,532 entries', async () => {
    const look = ['sh', '-c', 'ip neigh | grep -c PERMANENT'];
    const lines = await newest.docker('run', '--rm', '--network', 'pre', IMAGE, ...look);
    expect(Number(lines)).to.equal(PLANNED);
  });

  for (const name of Object.keys(NETWORKS) as Name[]) {
    it(`${name}, engine 28.5: the first packet of a container asks nobody for its peer`, async () => {
      const peer = peers.get(name) ?? '';
      const capture = await captureArp();
      const said = await newest.docker(
        ...['run', '--rm', '--network', name, IMAGE, 'ping', '-c', '1', '-W', '2', peer],
      );
      const frames = await capture.stop();
      expect(said).to.contain('1 packets received');
      expect(questionsFor(frames, [peer])).to.deep.equal([]);
    });
  }

  for (const [name, limitMs] of [
    ['small', IN_FORCE_MS],
    ['auto', IN_FORCE_MS],
    ['res', IN_FORCE_MS],
    ['pre', WHOLE_TABLE_MS],
  ] as const) {
    const { subnet, setting } = NETWORKS[name];
    it(`${name}, a ${setting} for ${subnet}: in force within ${limitMs} ms of the link's arrival`, async () => {
      for (const machine of lab.machines) {
        const arrivals: Arrival[] = [];
        for (let round = 0; round < ROUNDS; round++) arrivals.push(await watchStart(machine, name));
        const inForceMs = arrivals.map((one) => one.inForceMs).sort((a, b) => a - b);
        const upMs = arrivals.map((one) => one.upMs.toFixed(0)).join(' ');
        const all = inForceMs.map((ms) => ms.toFixed(0)).join(' ');
        console.log(`      ${machine.engine}: in force after ${all} ms; the link was up after ${upMs} ms`);
        expect(inForceMs[Math.floor(ROUNDS / 2)], `median on engine ${machine.engine}`).to.be.at.most(
          limitMs,
        );
      }
    });
  }

  it('preload: nothing is missing on any engine', async () => {
    for (const machine of lab.machines) {
      await start(machine, 'whole', 'pre');
      const sandbox = await sandboxOf(machine, 'whole');
      const count = async (): Promise<number> =>
        (await runOk(sandbox.command(['ip', 'neigh', 'show', 'nud', 'permanent'])))
          .split('\n')
          .filter((line) => line.startsWith('10.80.')).length;
      await until('the table is whole', async () => (await count()) === PLANNED);
    }
  });
});

function start(machine: Machine, container: string, network: Name, ...flags: readonly string[]) {
  const words = ['--name', container, '--network', network, ...flags];
  return machine.docker('run', '-d', ...words, IMAGE, 'sleep', '100000');
}

function slash16(prefix: string): Pick<Shape, 'subnet' | 'gateway'> {
  return { subnet: `${prefix}.0.0/16`, gateway: `${prefix}.0.1` };
}

/** Starts a container under the eyes of a program that measures from outside; removes it again. */
async function watchStart(machine: Machine, network: Name): Promise<Arrival> {
  const { subnet, setting } = NETWORKS[network];
  const [, second = ''] = subnet.split('.');
  const [base, last] = [0x0a00_0000 + (Number(second) << 16), subnet.endsWith('/20') ? 0x0ffe : 0xfffe];
  const watch: ArrivalWatch = {
    folder: await machine.path('/run/docker/netns'),
    setting,
    // its own address is the one that is not planned
    samples: [0x11, 0x180, 0xc01, last >> 1, last].map((offset) => base + offset),
  };
  const program = `${distFolder}/test/support/arrival-watch.js`;
  const child = spawn(process.execPath, [program, JSON.stringify(watch)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await until('the watch has begun', () => output.startsWith('watching'), { intervalMs: 5 });
  await start(machine, 'watched', network, '--ip', `10.${second}.0.200`);
  await closed;
  await machine.docker('rm', '-f', 'watched');
  return JSON.parse(output.slice('watching\n'.length)) as Arrival;
}
