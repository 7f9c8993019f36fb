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
import { ENGINES, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

describe('e2e/power cut, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab();
    await onEach(lab, async (machine) => {
      await runQuick(machine, 'always1', '--restart', 'always');
      await runQuick(machine, 'always2', '--restart', 'always');
      await runQuick(machine, 'plain');
    });
  });
  after(() => lab?.down());

  it('the measure is true: a cable that is pulled for 200 ms is a loss', async () => {
    const ips = (await onEach(lab, (machine) => running(machine))).flat().map(({ ip }) => ip);
    const pings = await pingAll(lab.outside, every10ms(ips));
    await sleep(200);
    await lab.machines[0]?.cable('down');
    await sleep(200);
    await lab.machines[0]?.cable('up');
    await sleep(200);
    const outcome = await pings.expectNoLoss().catch((error: Error) => error);
    expect(outcome).to.be.instanceOf(Error);
    if (typeof outcome === 'number') return;
    const hit = (outcome as Error & { readonly actual: readonly { ip: string; longestGapMs: number }[] })
      .actual;
    const own = (await running(lab.machines[0] ?? expect.fail())).map(({ ip }) => ip);
    expect(hit.map(({ ip }) => ip).sort()).to.deep.equal(own.sort());
    for (const { longestGapMs } of hit) expect(longestGapMs).to.be.greaterThan(100);
  });

  for (const [index, engine] of ENGINES.entries()) {
    it(`${engine}: the others notice nothing; restart=always comes back with a working network`, async () => {
      const machine = lab.machines[index];
      if (machine === undefined) throw new Error('no machine');
      const others = lab.machines.filter((other) => other !== machine);
      const ips = (await Promise.all(others.map((other) => running(other)))).flat().map(({ ip }) => ip);
      const own = (await running(machine)).map(({ ip }) => ip);
      const before = await leaseRevisions(lab);
      const pings = await pingAll(lab.outside, every10ms(ips));

      // some containers are on their way when the power goes
      const started = startMany(machine, 6, 'late');
      await until('they are on their way', async () => (await leaseRevisions(lab)).size > before.size + 1, {
        intervalMs: 5,
      });
      await machine.cutPower();
      await started;
      await sleep(1500);
      await expectKept(lab, before, own);

      await machine.boot();
      await machine.startLanius();
      await machine.startEngine();
      const returned = performance.now();
      const back = ['always1', 'always2'];
      await until('the containers with restart=always are back', async () => {
        const names = (await running(machine)).map(({ name }) => name);
        return back.every((name) => names.includes(name));
      });
      const tookMs = await exactSince(machine, returned);
      expect((await running(machine)).map(({ name }) => name).sort()).to.deep.equal(back);
      for (const name of back) await expectNetwork(machine, name);
      const returnedIps = await Promise.all(back.map(async (name) => (await containerOf(machine, name)).ip));
      const again = await pingAll(lab.outside, every10ms(returnedIps));
      await machine.docker('start', 'plain');
      await expectNetwork(machine, 'plain');
      await again.expectNoLoss();

      const sent = await pings.expectNoLoss();
      await expectKept(lab, before, ips);
      await expectDistinct(lab);
      console.log(`      exact after ${tookMs} ms; ${sent} packets to ${ips.length} others, 0 lost`);
      await machine.sh('docker rm -f $(docker ps -aq --filter name=^late) >/dev/null 2>&1 || true');
      await exactSince(machine, performance.now());
    });
  }
});
