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
} from '../support/crash.ts';
import { IMAGE, type RunningContainer, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { need } from '../support/require.ts';

const COUNT = 30;
/** Of each machine; as many packets a second as two cores bear beside three engines. */
const PINGED_EVERY_10_MS = 3;

describe('e2e/restart of the daemon under 30 containers, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;
  let containers: RunningContainer[][];

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab();
    const outcomes = (await onEach(lab, (machine) => startMany(machine, COUNT))).flat();
    expect(outcomes.filter(({ status }) => status !== 0).map(({ stderr }) => stderr)).to.deep.equal([]);
    containers = await onEach(lab, (machine) => running(machine));
    for (const list of containers) expect(list).to.have.length(COUNT);
  });
  after(() => lab?.down());

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`${signal}: all 90 keep their traffic, addresses and leases`, async () => {
      await underTraffic(async () => {
        await onEach(lab, async (machine) => {
          await machine.restartLanius(signal);
          const returned = performance.now();
          console.log(`      ${machine.engine}: exact after ${await exactSince(machine, returned)} ms`);
        });
      });
    });

    it(`${signal}: docker run at the beginning of 5 s without daemon succeeds`, async () => {
      const name = `new-${signal.toLowerCase()}`;
      await underTraffic(async () => {
        await onEach(lab, async (machine) => {
          await machine.stopLanius(signal);
          const began = performance.now();
          let endedMs = 0;
          const command = ['run', '-d', '--name', name, '--network', 'flat', IMAGE, 'sleep', '100000'];
          const run = machine.tryDocker(...command).then((outcome) => {
            endedMs = performance.now() - began;
            return outcome;
          });
          await sleep(5000);
          expect(endedMs, 'the run ended without the daemon').to.equal(0);
          await machine.startLanius();
          const outageMs = Math.round(performance.now() - began);
          const { status, stderr } = await run;
          expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
          console.log(
            `      ${machine.engine}: ${outageMs} ms without daemon, docker run took ${Math.round(endedMs)} ms`,
          );
          await expectNetwork(machine, name);
          await exactSince(machine, performance.now());
          await machine.docker('rm', '-f', name);
        });
      });
    });
  }

  it('answers for the containers that it did not start itself', async () => {
    await onEach(lab, async (machine) => {
      const { ip } = await containerOf(machine, 'c1');
      await machine.docker('rm', '-f', 'c1');
      expect((await leaseRevisions(lab)).has(ip)).to.equal(false);
      await exactSince(machine, performance.now());
    });
    await expectDistinct(lab);
  });

  /** 9 of the containers are pinged every 10 ms, the other 81 every 100 ms: 1700 packets a second. */
  async function underTraffic(work: () => Promise<void>): Promise<void> {
    const before = await leaseRevisions(lab);
    const often = containers.flatMap((list) => list.slice(0, PINGED_EVERY_10_MS)).map(({ ip }) => ip);
    const all = containers.flat().map(({ ip }) => ip);
    const coarsely = all.filter((ip) => !often.includes(ip)).map((ip): [string, number] => [ip, 100]);
    const pings = await pingAll(lab.outside, [...every10ms(often), ...coarsely]);
    await work();
    console.log(`      ${await pings.expectNoLoss()} packets to ${all.length} containers, 0 lost`);
    await expectKept(lab, before, all);
    const byId = (a: RunningContainer, b: RunningContainer): number => a.id.localeCompare(b.id);
    for (const [index, machine] of lab.machines.entries()) {
      expect((await running(machine)).sort(byId)).to.deep.equal([...(containers[index] ?? [])].sort(byId));
    }
  }
});
