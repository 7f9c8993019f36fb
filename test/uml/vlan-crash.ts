/** The part of vlan.ts about crashes: daemons that are killed, machines that boot, parents that go and come back. */
import { expect } from 'chai';
import type { Failpoint } from '../../core/failpoint.ts';
import type { DoctorReport } from '../../plugin/wire/admin.ts';
import { labScript } from '../support/checkout.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { runOk } from '../support/run.ts';
import {
  create,
  expectLimits,
  expectTalk,
  MARK,
  mustCreate,
  NETWORKS,
  subInterface,
  subInterfaceNames,
  TRUNK,
  untilNames,
} from './vlan-lab.ts';

const OURS = 'eth0.5 eth0.6';
const TEN = ['--subnet', '10.10.0.0/16', '-o', 'parent=eth0.10', 'ten'];

/** With five and six on both machines, and a container that is always restarted on each. */
export function crashTests(lab: () => Lab): void {
  const h1 = (): Machine => lab().machine('h1');
  const h2 = (): Machine => lab().machine('h2');

  it('leaves nothing of a network whose creation a crash cut off after the sub-interface was made', async () => {
    const machine = h1();
    await killAt(machine, 'network.after-uplink', () => create(machine, ...TEN));
    expect(await subInterface(machine, 'eth0.10')).to.include({ alias: MARK, up: true });
    await machine.startLanius();
    await untilNames(machine, OURS);
  });

  it('removes what a crash kept from going with its network', async () => {
    const machine = h1();
    await mustCreate(machine, ...TEN);
    await killAt(machine, 'network.before-uplink-removal', () => machine.tryDocker('network', 'rm', 'ten'));
    expect(await subInterfaceNames(machine)).to.equal('eth0.10 eth0.5 eth0.6');
    await machine.startLanius();
    await untilNames(machine, OURS);
    await machine.sh('docker network rm ten >/dev/null 2>&1 || true');
    await expectTalk(lab(), 'five');
  });

  it('carries the traffic again when the parent has been down', async () => {
    await h1().sh('ip link set eth0 down; ip link set eth0 up');
    expect(await subInterface(h1(), 'eth0.5')).to.include({ up: true });
    for (const { name } of NETWORKS) await expectTalk(lab(), name);
  });

  it('makes the sub-interface again that somebody deleted, and says of the containers what happened', async () => {
    const before = await subInterface(h1(), 'eth0.5');
    await h1().sh('ip link del eth0.5');
    await until('it is there again', async () => {
      const now = await subInterface(h1(), 'eth0.5');
      return now !== undefined && now.linkIndex !== before?.linkIndex && now.alias === MARK && now.up;
    });
    await expectRecovery('five');
  });

  it('brings everything back after a driver reload, in which the parent goes and comes back', async () => {
    await h1().sh('ip link del eth0');
    expect(await subInterfaceNames(h1())).to.equal('');
    const names = TRUNK.machines.map(({ name }) => name);
    await runOk([labScript('lab-up'), ...names], { env: { LANIUS_LAB_VLANS: TRUNK.vlans.join(' ') } });
    await untilNames(h1(), OURS);
    for (const { name } of NETWORKS) await expectRecovery(name);
  });

  it('has the sub-interfaces ready for the engine after a boot, and the containers run by themselves', async () => {
    for (const machine of [h1(), h2()]) {
      const before = await subInterfaceNames(machine);
      expect(before).to.equal(OURS);
      await machine.cutPower();
      // The machine's network namespace outlives it, its links must not; eth0.6 of h2 is in its network configuration.
      await machine.boot();
      await machine.sh('ip link del eth0.5; ip link del eth0.6');
      if (machine === h2()) {
        await machine.sh('ip link add link eth0 name eth0.6 type vlan id 6 && ip link set eth0.6 up');
      }
      await machine.startLanius();
      expect(await subInterfaceNames(machine), 'when the socket answers').to.equal(OURS);
      await machine.startEngine();
    }
    for (const machine of [h1(), h2()]) {
      await until(`the containers of ${machine.name} run`, async () => {
        const names = (await machine.docker('ps', '--format', '{{.Names}}')).split('\n').sort();
        return names.join(' ') === `${machine.name}-five ${machine.name}-six`;
      });
    }
    for (const { name } of NETWORKS) await expectTalk(lab(), name);
    await expectLimits(lab());
    expect(await subInterface(h1(), 'eth0.6')).to.include({ alias: MARK });
    expect(await subInterface(h2(), 'eth0.6')).to.include({ alias: '' });
  });

  /** New containers work; those that lost their link have it again. */
  async function expectRecovery(network: string): Promise<void> {
    await h1().docker('run', '--rm', '--network', network, 'bb:1', 'true');
    await until(`${network} has its links again`, async () => {
      const said = await h1().askLanius('doctor', '-o', 'json');
      const { checks } = JSON.parse(said.stdout) as DoctorReport;
      return checks.every(({ check, status }) => !check.startsWith('endpoint') || status === 'ok');
    });
    await expectTalk(lab(), network);
  }
}

/** The daemon dies of `deed` at that point. */
async function killAt(machine: Machine, point: Failpoint, deed: () => Promise<unknown>): Promise<void> {
  await machine.stopLanius();
  await machine.startLanius(undefined, { LANIUS_FAILPOINT: `${point}=kill` });
  const ended = deed();
  const died = async () => (await machine.log('lanius')).includes(`failpoint ${point}: killed`);
  await until(`the daemon passes ${point}`, died, { timeoutMs: 60_000 });
  await machine.stopLanius('SIGKILL'); // dead already: waits until it is gone
  const links = await subInterfaceNames(machine);
  expect(links).to.contain('eth0.10');
  // The engine repeats its call: to a daemon that is there again only after the test has looked.
  void ended;
}
