import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import {
  containerOf,
  crashLab,
  EXACT_WITHIN_MS,
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
  SUBNET,
} from '../support/crash.ts';
import { IMAGE, leases, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
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

  it('a single leak is gone 10 s after the start: of a run that a crash cut off', async () => {
    await onEach(lab, async (machine) => {
      await machine.stopLanius();
      await machine.startLanius(undefined, { LANIUS_FAILPOINT: 'lease.after-commit=kill' });
      const before = await leaseKeys(machine.name);
      const run = machine.tryDocker('run', '-d', '--name', 'leak', '--network', SUBNET.name, IMAGE, 'true');
      const leaked = await until('the lease leaks', async () =>
        (await leaseKeys(machine.name)).find((key) => !before.includes(key)),
      );
      await machine.stopLanius('SIGKILL'); // dead already: waits until it is gone
      const started = performance.now();
      await machine.startLanius();
      const tookMs = await goneSince(machine, leaked, started);
      expect((await run).status).to.equal(125);
      await machine.docker('rm', '-f', 'leak');
      console.log(`      ${machine.engine}: gone ${tookMs} ms after the start`);
    });
  });

  it('a single leak is gone 10 s after the start: of a removal during which the daemon was away', async () => {
    await onEach(lab, async (machine) => {
      const { ip } = await containerOf(machine, 'r2');
      await machine.stopLanius('SIGKILL');
      const removalMs = -performance.now();
      expect(await machine.tryDocker('rm', '-f', 'r2')).to.include({ status: 0 });
      const rmMs = Math.round(removalMs + performance.now());
      const leaked = (await leaseKeys(machine.name)).find((key) => key.endsWith(`/${hexOf(ip)}`));
      if (leaked === undefined) return expect.fail('the lease did not outlive the removal');
      const started = performance.now();
      await machine.startLanius();
      const tookMs = await goneSince(machine, leaked, started);
      console.log(`      ${machine.engine}: docker rm -f took ${rmMs} ms, gone ${tookMs} ms after the start`);
    });
  });

  /** @returns after how many ms the lease was gone; by then, or a moment later, all else is exact, too */
  async function goneSince(machine: Machine, key: string, started: number): Promise<number> {
    const timeoutMs = started + EXACT_WITHIN_MS - performance.now();
    await until(`${key} is gone`, async () => !(await leaseKeys(machine.name)).includes(key), { timeoutMs });
    const tookMs = Math.round(performance.now() - started);
    await exactSince(machine, started);
    return tookMs;
  }

  async function hostLeases(host: string): Promise<number> {
    return (await leaseKeys(host)).length;
  }

  /** In the index of a host. */
  async function leaseKeys(host: string): Promise<string[]> {
    const keys = await lab.etcd.ctl('get', '--prefix', '--keys-only', `/lanius/v1/by-host/${host}/`);
    return keys.split('\n').filter((key) => key !== '');
  }
});

function hexOf(ip: string): string {
  return ip
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('');
}
