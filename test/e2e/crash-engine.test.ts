import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import {
  containerOf,
  crashLab,
  every10ms,
  exactSince,
  expectDistinct,
  expectKept,
  expectNetwork,
  leaseRevisions,
  onEach,
  pingAll,
  runQuick,
} from '../support/crash.ts';
import { running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const NAMES = ['always', 'plain', 'mortal'];

describe('e2e/end of the engine, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab();
    await onEach(lab, async (machine) => {
      await runQuick(machine, 'always', '--restart', 'always');
      await runQuick(machine, 'plain');
      await runQuick(machine, 'mortal');
    });
  });
  after(() => lab?.down());
  afterEach(() => expectDistinct(lab));

  it('SIGTERM: its containers stop and their addresses are free; those with restart=always come back', async () => {
    await onEach(lab, async (machine) => {
      await machine.stopEngine('SIGTERM');
      await machine.startEngine();
      await expectReturn(machine, performance.now());
      await machine.docker('start', 'plain', 'mortal');
    });
  });

  it('SIGKILL: its containers live on with their leases until it returns; then the same', async () => {
    const ips = await allIps();
    const before = await leaseRevisions(lab);
    const pings = await pingAll(lab.outside, every10ms(ips));
    await onEach(lab, (machine) => machine.stopEngine('SIGKILL'));
    // also a daemon that starts with no engine to ask must keep everything
    await onEach(lab, (machine) => machine.restartLanius('SIGKILL'));
    await sleep(5000);
    console.log(`      ${await pings.expectNoLoss()} packets to ${ips.length} containers, 0 lost`);
    await expectKept(lab, before, ips);
    await onEach(lab, async (machine) => {
      await machine.startEngine();
      await expectReturn(machine, performance.now());
    });
  });

  it('SIGTERM with --live-restore: no packet is lost, no lease moves', async () => {
    await onEach(lab, async (machine) => {
      await machine.stopEngine('SIGTERM');
      await machine.startEngine('--live-restore');
      await until('the container is back', async () => (await running(machine)).length === 1);
      await machine.docker('start', 'plain', 'mortal');
    });
    const ips = await allIps();
    const before = await leaseRevisions(lab);
    const pings = await pingAll(lab.outside, every10ms(ips));
    await onEach(lab, async (machine) => {
      await machine.stopEngine('SIGTERM');
      await machine.startEngine('--live-restore');
      const returned = performance.now();
      console.log(`      ${machine.engine}: exact after ${await exactSince(machine, returned)} ms`);
    });
    console.log(`      ${await pings.expectNoLoss()} packets to ${ips.length} containers, 0 lost`);
    await expectKept(lab, before, ips);
    await onEach(lab, async (machine) => expect(await running(machine)).to.have.length(3));
  });

  it('SIGKILL with --live-restore: the same, but for a container that dies meanwhile', async () => {
    const all = await leaseRevisions(lab);
    const dead = await onEach(lab, async (machine) => (await containerOf(machine, 'mortal')).ip);
    const ips = (await allIps()).filter((ip) => !dead.includes(ip));
    const pings = await pingAll(lab.outside, every10ms(ips));
    await onEach(lab, async (machine) => {
      const pid = await machine.docker('inspect', '-f', '{{.State.Pid}}', 'mortal');
      await machine.stopEngine('SIGKILL');
      await machine.restartLanius('SIGTERM');
      await machine.sh(`kill -9 ${pid}`);
      await sleep(4000);
      await machine.startEngine('--live-restore');
      const returned = performance.now();
      console.log(`      ${machine.engine}: exact after ${await exactSince(machine, returned)} ms`);
    });
    console.log(`      ${await pings.expectNoLoss()} packets to ${ips.length} containers, 0 lost`);
    await expectKept(lab, all, ips);
    const left = await leaseRevisions(lab);
    expect(dead.filter((ip) => left.get(ip) === all.get(ip))).to.deep.equal([]);
    await onEach(lab, async (machine) => {
      await machine.docker('start', 'mortal');
      await expectNetwork(machine, 'mortal');
      await exactSince(machine, performance.now());
    });
  });

  async function allIps(): Promise<string[]> {
    const containers = (await onEach(lab, (machine) => running(machine))).flat();
    expect(containers).to.have.length(NAMES.length * lab.machines.length);
    return containers.map(({ ip }) => ip);
  }

  /** Exact in time, `always` alone is back, and its network works in both directions. */
  async function expectReturn(machine: Machine, returned: number): Promise<void> {
    await until('the container with restart=always is back', async () => (await running(machine)).length > 0);
    const tookMs = await exactSince(machine, returned);
    console.log(`      ${machine.engine}: exact after ${tookMs} ms`);
    expect((await running(machine)).map(({ name }) => name)).to.deep.equal(['always']);
    await expectNetwork(machine, 'always');
    const pings = await pingAll(lab.outside, every10ms([(await containerOf(machine, 'always')).ip]));
    await sleep(300);
    await pings.expectNoLoss();
  }
});
