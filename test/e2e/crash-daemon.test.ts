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
  type Pings,
  pingAll,
  runQuick,
} from '../support/crash.ts';
import { leases, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

describe('e2e/crash of the daemon, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;
  /** Addresses of the containers that outlive every test here. */
  let ips: string[];
  let pings: Pings;
  let revisions: Map<string, number>;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab();
    await onEach(lab, (machine) =>
      Promise.all(['s1', 's2', 'r1', 'r2'].map((name) => runQuick(machine, name))),
    );
    ips = (
      await onEach(lab, (machine) =>
        Promise.all(['s1', 's2'].map(async (name) => (await containerOf(machine, name)).ip)),
      )
    ).flat();
  });
  after(() => lab?.down());

  beforeEach(async () => {
    revisions = await leaseRevisions(lab);
    pings = await pingAll(lab.outside, every10ms(ips));
  });
  afterEach(async () => {
    const sent = await pings.expectNoLoss();
    expect(sent).to.be.greaterThan(6 * 50);
    await expectKept(lab, revisions, ips);
    await expectDistinct(lab);
    console.log(`      ${sent} packets to ${ips.length} containers, 0 lost`);
  });

  it('killed at rest: nobody notices, nothing is freed', async () => {
    await onEach(lab, async (machine) => {
      await machine.restartLanius('SIGKILL');
      const returned = performance.now();
      console.log(`      ${machine.engine}: exact after ${await exactSince(machine, returned)} ms`);
    });
  });

  it('killed amid 20 docker run at once: leases are exactly those of the containers that came up', async () => {
    await onEach(lab, async (machine) => {
      let ended = 0;
      const runs = startMany(machine, 20, 'k').then((outcomes) => {
        ended = performance.now();
        return outcomes;
      });
      await until('the runs are under way', async () => (await hostLeases(machine.name)) >= 4 + 5, {
        timeoutMs: 60_000,
        intervalMs: 5,
      });
      await machine.stopLanius('SIGKILL');
      expect(ended, 'the runs were over before the crash').to.equal(0);
      await machine.startLanius();
      const returned = performance.now();
      const failed = (await runs).filter(({ status }) => status !== 0);
      const taken = await leaseRevisions(lab);
      // as long as docker run goes on there are leases of containers that do not run yet
      const tookMs = await exactSince(machine, Math.max(returned, ended));
      console.log(
        `      ${machine.engine}: ${failed.length} of 20 refused, exact ${tookMs} ms after the last run ended`,
      );
      await expectKept(
        lab,
        taken,
        (await running(machine)).map(({ ip }) => ip),
      );
      for (const { stderr } of failed) expect(stderr).to.match(/lanius|NetworkDriver|IpamDriver|plugin/i);
      await runQuick(machine, 'after');
      await expectNetwork(machine, 'after');
      await machine.sh('docker rm -f $(docker ps -aq --filter name=^k --filter name=^after) >/dev/null', {
        timeoutMs: 120_000,
      });
      await exactSince(machine, performance.now());
    });
  });

  it('away when docker rm -f comes, and back while the engine repeats its calls: nothing is left', async () => {
    await onEach(lab, async (machine) => {
      const { ip } = await containerOf(machine, 'r1');
      await machine.stopLanius('SIGKILL');
      const removal = machine.tryDocker('rm', '-f', 'r1');
      await sleep(3000);
      await machine.startLanius();
      const returned = performance.now();
      const tookMs = await exactSince(machine, returned);
      expect((await leases(machine)).map(({ address }) => address)).not.to.include(ip);
      expect(await removal).to.include({ status: 0 });
      console.log(`      ${machine.engine}: exact after ${tookMs} ms`);
    });
  });

  it('away for all of docker rm -f: what the engine gave up to release is freed at the return', async () => {
    await onEach(lab, async (machine) => {
      const { ip } = await containerOf(machine, 'r2');
      await machine.stopLanius('SIGKILL');
      const removalMs = -performance.now();
      expect(await machine.tryDocker('rm', '-f', 'r2')).to.include({ status: 0 });
      const rmMs = Math.round(removalMs + performance.now());
      expect((await leaseRevisions(lab)).has(ip), 'the lease outlives the removal').to.equal(true);
      await machine.startLanius();
      const returned = performance.now();
      const tookMs = await exactSince(machine, returned);
      expect((await leaseRevisions(lab)).has(ip)).to.equal(false);
      console.log(`      ${machine.engine}: docker rm -f took ${rmMs} ms, exact after ${tookMs} ms`);
    });
  });

  async function hostLeases(host: string): Promise<number> {
    const keys = await lab.etcd.ctl('get', '--prefix', '--keys-only', `/lanius/v1/by-host/${host}/`);
    return keys.split('\n').filter((key) => key !== '').length;
  }
});
