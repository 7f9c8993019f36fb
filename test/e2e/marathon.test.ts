/**
 * The apps of examples/marathon as Mesos runs them: each by the command line of the docker executor, word for word
 * (test/support/mesos-docker-run.ts names its sources). No Mesos is here; what it would see is the exit status and stderr.
 */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createNetwork, exact, flatLab, labConfig } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { containerName, dockerRun, type MesosVersion, readApp } from '../support/mesos-docker-run.ts';
import { readAttributes, readResources } from '../support/mesos-grammar.ts';
import { until } from '../support/poll.ts';
import { everywhere, threeOf } from '../support/rack-lab.ts';
import { need } from '../support/require.ts';
import type { RunResult } from '../support/run.ts';

/** A few addresses each, and never the fixed one. */
const FLAT = { gateway: '10.77.0.2', range: '10.77.48.1-10.77.48.4' };
const VLAN = { gateway: '10.78.0.1', range: '10.78.0.1-10.78.0.4' };
const FIXED = '10.77.32.10';
/** How a scheduler finds the reason in stderr: the last words of the driver. docs/errors.md */
const REASON = /\(([a-z_]+), req [0-9a-f]{6}\)/;
/** Of `docker run`, for whatever comes before the container's own process. docs/marathon.md */
const NOT_STARTED = 125;

describe("e2e/marathon, by the docker executor's command lines on three engines", function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab();
    const [first] = threeOf(lab);
    await first.lanius(
      'pool',
      'add',
      'flat',
      '--subnet',
      '10.77.0.0/16',
      '--range',
      FLAT.range,
      '--cooling',
      '0s',
    );
    await first.lanius(
      'pool',
      'add',
      'vlan100',
      '--subnet',
      '10.78.0.0/24',
      '--range',
      VLAN.range,
      '--cooling',
      '0s',
    );
    await everywhere(lab, async (machine) => {
      await machine.docker('tag', 'bb:1', 'busybox:1.37');
      // The kernel of the lab has no 802.1Q: the app's command line is the same, its network stands on the parent.
      await createNetwork(machine, { name: 'vlan100', subnet: '10.78.0.0/24', gateway: VLAN.gateway });
    });
  });
  after(() => lab?.down());

  /** What becomes of the task's docker command; resolves when that ends. */
  function launch(machine: Machine, example: string, version: MesosVersion = 'later') {
    const task = { containerId: randomUUID(), host: machine.name };
    const argv = dockerRun(readApp(example), task, version);
    return { name: containerName(task), ended: machine.exec(argv, { timeoutMs: 120_000 }) };
  }

  /** Runs it until it has an address; then looks at it and ends it as Mesos does. */
  async function runs(machine: Machine, example: string): Promise<string> {
    const { name, ended } = launch(machine, example);
    const network = readApp(example).networks?.[0]?.name ?? 'flat';
    const shown = `{{.State.Running}} {{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
    let ip = '';
    let failed: RunResult | undefined;
    void ended.then((result) => {
      failed = result;
    });
    await until(`${example} runs on ${machine.name}`, async () => {
      if (failed !== undefined) throw new Error(`it has ended: ${failed.status} ${failed.stderr}`);
      const { stdout } = await machine.tryDocker('inspect', '-f', shown, name);
      ip = /^true (\S+)/.exec(stdout)?.[1] ?? '';
      return ip !== '';
    });
    const env = await machine.docker('exec', name, 'env');
    for (const [key, value] of Object.entries(readApp(example).env ?? {}))
      expect(env).to.contain(`${key}=${value}\n`);
    if (network === 'flat')
      await until(
        `${ip} answers`,
        async () => (await lab.outside.exec(['ping', '-c', '1', '-W', '1', ip])).status === 0,
      );
    await machine.docker('kill', name);
    expect((await ended).status).to.equal(137);
    await machine.docker('rm', name);
    return ip;
  }

  /** @returns the reason that a scheduler finds */
  async function refused(machine: Machine, example: string): Promise<string> {
    const { name, ended } = launch(machine, example);
    const { status, stdout, stderr } = await ended;
    expect([status, stdout], stderr).to.deep.equal([NOT_STARTED, '']);
    const reason = REASON.exec(stderr)?.[1];
    if (reason === undefined) throw new Error(`stderr has no reason: ${stderr}`);
    // What is left of it until the agent removes it: a container that never started, and has no address.
    expect(await machine.docker('inspect', '-f', '{{.State.Status}}', name)).to.equal('created');
    await machine.docker('rm', name);
    return reason;
  }

  /** Reserves what is left of the range. @returns the addresses */
  async function fill(pool: string, range: string): Promise<string[]> {
    const [machine] = threeOf(lab);
    const [first = '', last = ''] = range.split('-');
    const net = first.slice(0, first.lastIndexOf('.') + 1);
    const bytes = [first, last].map((address) => Number(address.slice(net.length)));
    const addresses = Array.from(
      { length: (bytes[1] ?? 0) - (bytes[0] ?? 0) + 1 },
      (_, i) => `${net}${(bytes[0] ?? 0) + i}`,
    );
    const tries = await Promise.all(
      addresses.map((address) =>
        machine.tryLanius('ip', 'reserve', address, `full-${address}`, '--pool', pool),
      ),
    );
    // All but the gateway.
    return addresses.filter((_, index) => tries[index]?.status === 0);
  }

  it('runs each app on each engine, with address, environment and labels', async () => {
    await everywhere(lab, async (machine) => {
      const [plain, limits, net] = [
        await runs(machine, 'plain'),
        await runs(machine, 'limits'),
        await runs(machine, 'net-parameter'),
      ];
      for (const ip of [plain, limits, net]) expect(ip).to.match(/^10\.77\.48\.[1-4]$/);
      expect(await runs(machine, 'vlan')).to.match(/^10\.78\.0\.[2-4]$/);
    });
    for (const machine of lab.machines) expect(await runs(machine, 'fixed-address')).to.equal(FIXED);
    await everywhere(lab, (machine) => exact(machine));
  });

  it('says with exit status 125 and a reason on stderr that addresses are exhausted; one that is free ends it', async () => {
    const filled = [...(await fill('flat', FLAT.range)), ...(await fill('vlan100', VLAN.range))];
    expect(filled).to.have.length(4 + 3);
    await everywhere(lab, async (machine) => {
      for (const example of ['plain', 'limits', 'net-parameter', 'vlan'])
        expect(await refused(machine, example), example).to.equal('exhausted');
    });
    expect(await threeOf(lab)[0].lanius('mesos', 'resources', '--attributes')).to.equal(
      'lanius_flat:full;lanius_vlan100:full\n',
    );
    // An address of its own is not of the range.
    expect(await runs(threeOf(lab)[1], 'fixed-address')).to.equal(FIXED);
    await threeOf(lab)[0].lanius('ip', 'unreserve', '10.77.48.3');
    for (const machine of lab.machines) expect(await runs(machine, 'plain')).to.equal('10.77.48.3');
    await Promise.all(filled.map((address) => threeOf(lab)[0].lanius('ip', 'unreserve', address)));
    await everywhere(lab, (machine) => exact(machine));
  });

  it('says `conflict` where an address of its own is taken, on whichever host', async () => {
    const [one, two, three] = threeOf(lab);
    const { name, ended } = launch(one, 'fixed-address');
    await until('it has its address', async () => {
      const rows = (await one.lanius('ip', 'ls', '-o', 'json')) as readonly {
        address: string;
        state: string;
      }[];
      return rows.some(({ address, state }) => address === FIXED && state === 'bound');
    });
    expect(await Promise.all([two, three].map((machine) => refused(machine, 'fixed-address')))).to.deep.equal(
      ['conflict', 'conflict'],
    );
    await one.docker('rm', '-f', name);
    await ended;
  });

  it('says `bandwidth_exhausted` where the limits of the app are more than the host carries', async () => {
    const capacity = { eth0: { in: '40mbit', out: '40mbit' } };
    await everywhere(lab, async (machine) => {
      await machine.stopLanius();
      await machine.startLanius(
        labConfig(lab, { throttle: { admission: true, capacity, wishTimeoutMs: 5000 } }),
      );
      expect(await refused(machine, 'limits')).to.equal('bandwidth_exhausted');
      await runs(machine, 'plain');
      await machine.stopLanius();
      await machine.startLanius(labConfig(lab));
      await exact(machine);
    });
  });

  it('is refused by docker itself where Mesos up to 1.11 gives it a network and a parameter `net`', async () => {
    await everywhere(lab, async (machine) => {
      const { status, stderr } = await launch(machine, 'net-parameter', '1.11.0').ended;
      expect(status).to.equal(NOT_STARTED);
      expect(stderr).to.contain('cannot attach both user-defined and non-user-defined network-modes');
      expect(stderr).to.not.match(REASON);
    });
  });

  it('prints resources and attributes that the agent can read, and keeps them in files', async () => {
    const [machine] = threeOf(lab);
    const resources = String(await machine.lanius('mesos', 'resources')).trimEnd();
    const found = readResources(resources);
    expect(found.map(({ name }) => name)).to.deep.equal(['net_in', 'net_out', 'ips']);
    expect(found.at(-1)).to.deep.equal({ name: 'ips', role: '*', value: { scalar: 7 } });
    await machine.lanius('mesos', 'resources', '--total', '--file', '/etc/lanius/resources');
    await machine.lanius('mesos', 'resources', '--total', '--attributes', '--file', '/etc/lanius/attributes');
    // None declares a capacity, and the speed of a link is not for an agent.
    const total = readResources(await machine.sh('cat /etc/lanius/resources'));
    expect(total.map(({ name }) => name)).to.deep.equal(['ips']);
    expect(readAttributes(await machine.sh('cat /etc/lanius/attributes'))).to.deep.equal([
      { name: 'lanius_flat', value: { text: 'yes' } },
      { name: 'lanius_vlan100', value: { text: 'yes' } },
    ]);
  });
});
