import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { letBridgePass } from '../support/bridge-pass.ts';
import { checkoutFolder, distFolder } from '../support/checkout.ts';
import { every10ms, expectKept, leaseRevisions, onEach, type Pings, pingAll } from '../support/crash.ts';
import { plugCable } from '../support/extra-cable.ts';
import { flatLab, type RunningContainer, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { run } from '../support/run.ts';
import { type Sandbox, sandboxesOf } from '../support/sandboxes.ts';

/** Of each network on each machine: 30 containers of each mode over three machines. */
const COUNT = 5;
/** A restarted daemon looks at every sandbox again; traffic must go on under that, too. */
const AFTERWARDS_MS = 3000;

interface Shape {
  readonly name: string;
  readonly mode: 'macvlan' | 'bridge' | 'ipvlan';
  readonly arp: 'preload' | 'responder';
  readonly parent: string;
  readonly subnet: string;
  readonly gateway: string;
}

const MACVLAN_AND_BRIDGE: readonly Shape[] = [
  { ...shape('mp', '10.80.0'), subnet: '10.80.0.0/22', mode: 'macvlan', arp: 'preload', parent: 'eth0' },
  { ...shape('mr', '10.81.0'), subnet: '10.81.0.0/16', mode: 'macvlan', arp: 'responder', parent: 'eth0' },
  { ...shape('bp', '10.82.0'), subnet: '10.82.0.0/22', mode: 'bridge', arp: 'preload', parent: 'eth1' },
  { ...shape('br', '10.83.0'), subnet: '10.83.0.0/16', mode: 'bridge', arp: 'responder', parent: 'eth1' },
];
/** Its MAC is that of its parent, so neither kind of ARP table can be computed. */
const IPVLAN: readonly Shape[] = [
  { ...shape('ip', '10.84.0'), subnet: '10.84.0.0/22', mode: 'ipvlan', arp: 'preload', parent: 'eth2' },
];

function shape(name: string, prefix: string): Pick<Shape, 'name' | 'gateway'> {
  return { name, gateway: `${prefix}.1` };
}

describe('e2e/restart of the daemon under 30 containers of each mode, three engines', function () {
  this.timeout(300_000);
  const next = `${checkoutFolder}/.build/next-${process.pid}`;
  let lab: Lab;
  let shapes: readonly Shape[];
  let containers: Map<string, RunningContainer[]>;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    const ipvlan = await kernelHasIpvlan();
    shapes = [...MACVLAN_AND_BRIDGE, ...(ipvlan ? IPVLAN : [])];
    if (!ipvlan) console.log('      this kernel has no ipvlan: mode ipvlan is left out');
    await makeNextVersion(next);
    lab = await flatLab();
    await onEach(lab, async (machine) => {
      for (const link of ['eth1', 'eth2']) await plugCable(machine, link);
      for (const one of shapes) await createNetwork(machine, one);
      await letBridgePass(machine, 'br-eth1');
    });
    containers = new Map();
    for (const { name } of shapes) {
      const outcomes = (await onEach(lab, (machine) => startMany(machine, COUNT, `${name}-`, name))).flat();
      expect(outcomes.filter(({ status }) => status !== 0).map(({ stderr }) => stderr)).to.deep.equal([]);
      containers.set(name, (await onEach(lab, (machine) => running(machine, name))).flat());
      expect(containers.get(name)).to.have.length(3 * COUNT);
    }
    await expectInForce();
  });
  after(async () => {
    lab?.down();
    await rm(next, { recursive: true, force: true });
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`${signal}: none of the pings of every 10 ms is lost`, () =>
      underTraffic(() => onEach(lab, (machine) => machine.restartLanius(signal))));
  }

  it('an upgrade, to another folder and with another responder: none is lost', async () => {
    const before = await responders();
    await underTraffic(async () => {
      await onEach(lab, async (machine) => {
        await machine.stopLanius();
        await machine.startLanius(undefined, { LANIUS_DIST: next });
        expect(await programOf(machine)).to.equal(next);
      });
      await expectReplaced(before);
    });
  });

  it('kill -9 and the way back to the version before: none is lost', async () => {
    const before = await responders();
    await underTraffic(async () => {
      await onEach(lab, async (machine) => {
        await machine.restartLanius('SIGKILL');
        expect(await programOf(machine)).to.equal(distFolder);
      });
      await expectReplaced(before);
    });
  });

  it('tables and filters are as before', () => expectInForce());

  /** From inside of the first container of each network, all others of that network are pinged every 10 ms. */
  async function underTraffic(work: () => Promise<unknown>): Promise<void> {
    const all = [...containers.values()].flat().map(({ ip }) => ip);
    const before = await leaseRevisions(lab);
    const [machine] = lab.machines;
    if (machine === undefined) throw new Error('the lab has no machine');
    const sandboxes = await sandboxesOf(machine);
    const pings: Pings[] = [];
    for (const { name } of shapes) {
      const sandbox = known(sandboxes, `${name}-1`);
      const own = (await running(machine, name)).find((one) => one.name === sandbox.name)?.ip;
      const others = (containers.get(name) ?? []).map(({ ip }) => ip).filter((ip) => ip !== own);
      pings.push(await pingAll(sandbox, every10ms(others)));
    }
    await work();
    await sleep(AFTERWARDS_MS);
    const sent = (await Promise.all(pings.map((one) => one.expectNoLoss()))).reduce((a, b) => a + b, 0);
    console.log(`      ${sent} packets from ${pings.length} to ${all.length} containers, 0 lost`);
    await expectKept(lab, before, all);
  }

  /** The kernel's ids of the responders in all sandboxes. */
  async function responders(): Promise<Set<string>> {
    const found = new Set<string>();
    for (const machine of lab.machines) {
      const sandboxes = await sandboxesOf(machine);
      for (const { name } of shapes.filter(({ arp, mode }) => arp === 'responder' && mode !== 'ipvlan')) {
        for (let i = 1; i <= COUNT; i++) found.add(await responderIn(known(sandboxes, `${name}-${i}`)));
      }
    }
    return found;
  }

  /** Each machine has one new responder, in all its sandboxes. */
  function expectReplaced(before: ReadonlySet<string>): Promise<unknown> {
    return until(
      'every responder is replaced',
      async () => {
        const now = await responders();
        return now.size === lab.machines.length && [...now].every((id) => id !== '' && !before.has(id));
      },
      { timeoutMs: 30_000 },
    );
  }

  /** Every sandbox has what its network promises. */
  async function expectInForce(): Promise<void> {
    for (const machine of lab.machines) {
      const sandboxes = await sandboxesOf(machine);
      for (const { name, mode, arp } of shapes.filter((one) => one.mode !== 'ipvlan')) {
        for (let i = 1; i <= COUNT; i++) {
          const sandbox = known(sandboxes, `${name}-${i}`);
          await until(`${mode} ${arp} in ${machine.name} ${sandbox.name}`, () => inForce(sandbox, arp));
        }
      }
    }
  }
});

function createNetwork(machine: Machine, one: Shape): Promise<string> {
  const pool = ['--ipam-driver', 'lanius', '--subnet', one.subnet, '--gateway', one.gateway];
  const options = [
    `mode=${one.mode}`,
    `parent=${one.parent}`,
    `arp=${one.mode === 'ipvlan' ? 'off' : one.arp}`,
  ];
  const words = options.flatMap((option) => ['-o', option]);
  return machine.docker('network', 'create', '-d', 'lanius', ...pool, ...words, one.name);
}

/** A /22: without the network's and the broadcast address, the gateway and the container's own. */
const PRELOADED = 1024 - 4;

async function inForce(sandbox: Sandbox, arp: Shape['arp']): Promise<boolean> {
  const words =
    arp === 'preload'
      ? ['ip', 'neigh', 'show', 'nud', 'permanent']
      : ['tc', 'filter', 'show', 'dev', 'eth0', 'egress'];
  const { status, stdout } = await run(sandbox.command(words));
  if (status !== 0) return false;
  if (arp === 'responder') return stdout.includes('lanius-arp');
  return stdout.split('\n').filter((line) => line.startsWith('10.')).length === PRELOADED;
}

/** @returns '' if there is none */
async function responderIn(sandbox: Sandbox): Promise<string> {
  const { stdout } = await run(sandbox.command(['tc', 'filter', 'show', 'dev', 'eth0', 'egress']));
  return /lanius-arp .*\bid (\d+)/.exec(stdout)?.[1] ?? '';
}

/** The program that runs here, in another folder; its responder does one more instruction, r0 = r0, before it ends. */
async function makeNextVersion(folder: string): Promise<void> {
  await cp(distFolder, folder, { recursive: true });
  const file = `${folder}/net/bpf/responder-program.js`;
  const source = await readFile(file, 'utf8');
  const end = source.lastIndexOf(EXIT);
  expect(end, 'the program ends with exit').to.be.greaterThan(0);
  await writeFile(file, `${source.slice(0, end)}bf00000000000000${source.slice(end)}`);
}

/** BPF_JMP | BPF_EXIT */
const EXIT = '9500000000000000';

function known(sandboxes: ReadonlyMap<string, Sandbox>, name: string): Sandbox {
  const found = sandboxes.get(name);
  if (found === undefined) throw new Error(`there is no container ${name}`);
  return found;
}

/** The folder of the program that the daemon runs. */
async function programOf(machine: Machine): Promise<string> {
  const words = await machine.sh("tr '\\0' '\\n' </proc/$(cat /run/lab-lanius.pid)/environ");
  return /^LANIUS_DIST=(.*)$/m.exec(words)?.[1] ?? '';
}

async function kernelHasIpvlan(): Promise<boolean> {
  const make = 'ip link add d0 type dummy && ip link add link d0 name i0 type ipvlan mode l2';
  return (await run(['unshare', '-n', 'sh', '-c', make])).status === 0;
}
