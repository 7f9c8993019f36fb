/**
 * A driver reload under running containers: the parent goes, and the kernel destroys their links with it; it comes back,
 * and they have to be made again, which no engine does.
 */
import { expect } from 'chai';
import type { DoctorReport } from '../../plugin/wire/admin.ts';
import { labScript } from '../support/checkout.ts';
import { crashLab, exactSince, leaseRevisions, onEach, runQuick, SUBNET } from '../support/crash.ts';
import { removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';

const SECOND = ['--subnet', '10.77.17.0/24', '-o', 'parent=eth0', '-o', 'mtu=1400', 'second'];

describe('e2e/parent-return, three engines', function () {
  this.timeout(180_000);
  let lab: Lab;
  let revisions: ReadonlyMap<string, unknown>;
  const had = new Map<string, string>();

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab();
    await onEach(lab, async (machine) => {
      await machine.docker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...SECOND);
      await runQuick(machine, 'one');
      await runQuick(machine, 'two');
      await machine.docker('network', 'connect', 'second', 'two');
      for (const name of ['one', 'two']) had.set(`${machine.name} ${name}`, await inside(machine, name));
    });
    revisions = await leaseRevisions(lab);
  });
  after(() => lab?.down());

  it('says in lanius doctor which containers lost their link with the parent', async () => {
    await onEach(lab, async (machine) => {
      await machine.sh('ip link del eth0');
      const said = await machine.askLanius('doctor', '-o', 'json');
      const { checks } = JSON.parse(said.stdout) as DoctorReport;
      const failed = checks.filter(({ status }) => status === 'fail').map(({ check }) => check.split(' ')[0]);
      expect(failed).to.include.members(['parent', 'endpoint']);
      expect(failed.filter((check) => check === 'endpoint')).to.have.length(3);
      expect(checks.find(({ check }) => check.startsWith('endpoint'))?.finding).to.contain(
        'its link is gone',
      );
    });
  });

  it('makes them again when it is back, with name, MAC, MTU, addresses and routes', async () => {
    await plug();
    const plugged = performance.now();
    await onEach(lab, async (machine) => {
      await recovered(machine);
      console.log(`      ${machine.engine}: back after ${Math.round(performance.now() - plugged)} ms`);
    });
    expect(await leaseRevisions(lab)).to.deep.equal(revisions);
  });

  it('starts new containers on it', async () => {
    await onEach(lab, (machine) =>
      machine.docker('run', '--rm', '--network', 'flat', 'bb:1', 'ping', '-c1', '-W2', SUBNET.gateway),
    );
  });

  it('makes them again too if the daemon was dead meanwhile', async () => {
    await onEach(lab, async (machine) => {
      await machine.stopLanius('SIGKILL');
      await machine.sh('ip link del eth0');
    });
    await plug();
    await onEach(lab, async (machine) => {
      await machine.startLanius();
      const started = performance.now();
      await recovered(machine);
      console.log(
        `      ${machine.engine}: back ${Math.round(performance.now() - started)} ms after the start`,
      );
    });
    expect(await leaseRevisions(lab)).to.deep.equal(revisions);
  });

  it('leaves nothing when they are removed', async () => {
    await onEach(lab, async (machine) => {
      await removeAll(machine);
      await machine.docker('network', 'rm', 'second');
      await exactSince(machine, performance.now());
      expect(await machine.sh('ip -br link')).not.to.match(/^l[nh]/m);
    });
  });

  function plug(): Promise<string> {
    return runOk([labScript('lab-up'), ...lab.machines.map(({ name }) => name)]);
  }

  /** The containers have what they had, and reach the gateway. */
  async function recovered(machine: Machine): Promise<void> {
    for (const name of ['one', 'two']) {
      const want = had.get(`${machine.name} ${name}`);
      await until(`${name} has its links`, async () => (await inside(machine, name)) === want, {
        timeoutMs: 15_000,
      }).catch(async (error: Error) =>
        expect.fail(`${error.message}: ${want}\nis now\n${await inside(machine, name)}`),
      );
      await machine.docker('exec', name, 'ping', '-c1', '-W3', SUBNET.gateway);
    }
    const said = await machine.askLanius('doctor', '-o', 'json');
    const { checks } = JSON.parse(said.stdout) as DoctorReport;
    expect(checks.filter(({ check }) => /^endpoint/.test(check)).map(({ status }) => status)).to.deep.equal([
      'ok',
    ]);
  }
});

/** Links with MAC and MTU, addresses and routes of a container, as text. */
async function inside(machine: Machine, container: string): Promise<string> {
  const sandbox = await machine.sandbox(container);
  const see = async (...words: readonly string[]): Promise<string> =>
    (await runOk(sandbox.command(['ip', '-o', ...words]))).replace(/^\d+: /gm, '').replace(/@if\d+/g, '');
  const links = (await see('link')).replace(/ (qlen|link-netnsid) \d+/g, '');
  const addresses = await see('-4', 'addr');
  const routes = await see('-4', 'route');
  return [links, addresses, routes].map((text) => text.trim()).join('\n');
}
