/**
 * Runs inside user-mode Linux (uml.test.ts starts it): two machines on a trunk, and networks of Lanius on the
 * VLANs 5 and 6, one by `parent=eth0.5`, one by `parent=eth0` and `vlan=6`. On the second machine eth0.6 is its operator's.
 *
 * One story: each test goes on where the one before ended.
 */
import { expect } from 'chai';
import type { DoctorReport } from '../../plugin/wire/admin.ts';
import { IMAGE, labConfig, leases, macOfIp } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import { untilNothingLeft } from '../support/left-keys.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';
import { crashTests } from './vlan-crash.ts';
import {
  containerOn,
  containersOf,
  create,
  expectLimits,
  expectTalk,
  LIMITED,
  MARK,
  mustCreate,
  NETWORKS,
  removeNetwork,
  serve,
  subInterface,
  subInterfaceNames,
  TRUNK,
  untilNames,
} from './vlan-lab.ts';

describe('uml/vlan', () => {
  let lab: Lab;
  let h1: Machine;
  let h2: Machine;
  /** Index of the operator's sub-interface. */
  let operators: number | undefined;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'lab');
    lab = await Lab.up(TRUNK);
    [h1, h2] = [lab.machine('h1'), lab.machine('h2')];
    await h2.sh('ip link add link eth0 name eth0.6 type vlan id 6 && ip link set eth0.6 up');
    operators = (await subInterface(h2, 'eth0.6'))?.linkIndex;
    await each(async (machine) => {
      await machine.startLanius(labConfig(lab));
      await machine.startEngine();
    });
  });
  after(() => lab?.down());

  const each = <T>(act: (machine: Machine) => Promise<T>): Promise<T[]> => Promise.all(lab.machines.map(act));

  it('makes the sub-interfaces with the first network on them, and takes the one that is there', async () => {
    await each(async (machine) => {
      for (const { name, subnet, parent } of NETWORKS) {
        await mustCreate(machine, '--subnet', subnet, ...parent, name);
      }
    });
    for (const machine of lab.machines) {
      const networks = (await machine.lanius('network', 'ls', '-o', 'json')) as { parent: string }[];
      expect(networks.map(({ parent }) => parent).sort()).to.deep.equal(['eth0.5', 'eth0.6']);
      const five = await subInterface(machine, 'eth0.5');
      expect(five).to.include({ lower: 'eth0', vlan: 5, mtu: 1500, up: true, alias: MARK });
    }
    expect(await subInterface(h1, 'eth0.6')).to.include({ vlan: 6, up: true, alias: MARK });
    expect(await subInterface(h2, 'eth0.6')).to.include({ linkIndex: operators, alias: '' });
  });

  it('lets several networks use one sub-interface, which stays for the others', async () => {
    const before = await subInterface(h1, 'eth0.5');
    await mustCreate(h1, '--subnet', '10.55.0.0/16', '-o', 'parent=eth0', '-o', 'vlan=5', 'more');
    await removeNetwork(h1, 'more');
    await until('the removal is over', async () => !/more/.test(await h1.docker('network', 'ls')));
    expect(await subInterface(h1, 'eth0.5')).to.deep.equal(before);
  });

  it('refuses VLANs out of range, by option and by name', async () => {
    for (const vlan of ['0', '4095', '4096']) {
      const option = ['-o', 'parent=eth0', '-o', `vlan=${vlan}`];
      const byOption = await create(h1, '--subnet', '10.7.0.0/16', ...option, 'wrong');
      expect(byOption.stderr).to.match(new RegExp(`option vlan: "${vlan}" is not .* from 1 to 4094`));
      const byName = await create(h1, '--subnet', '10.7.0.0/16', '-o', `parent=eth0.${vlan}`, 'wrong');
      expect(byName.stderr).to.contain(`${vlan} is no VLAN of eth0: VLANs are 1 to 4094`);
      expect([byOption.status, byName.status]).to.deep.equal([1, 1]);
    }
  });

  it('refuses a name that another VLAN or another kind of link has, and leaves those alone', async () => {
    await h1.sh('ip link add link eth0 name eth0.8 type vlan id 9; ip link add eth0.7 type dummy');
    for (const [vlan, what] of [
      ['8', 'VLAN 9 of eth0'],
      ['7', 'a dummy'],
    ] as const) {
      const { status, stderr } = await create(
        h1,
        ...['--subnet', '10.8.0.0/16', '-o', 'parent=eth0', '-o', `vlan=${vlan}`, 'eight'],
      );
      expect(status).to.equal(1);
      expect(stderr).to.contain(
        `link eth0.${vlan} exists, but is not VLAN ${vlan} of eth0 (it is ${what}): rename it`,
      );
    }
    expect(await subInterfaceNames(h1)).to.equal('eth0.5 eth0.6 eth0.8');
    await h1.sh('ip link del eth0.7; ip link del eth0.8');
  });

  it('uses the sub-interface that a VLAN has under another name, and never removes it', async () => {
    await h1.sh('ip link add link eth0 name office type vlan id 9 && ip link set office up');
    await mustCreate(h1, '--subnet', '10.9.0.0/16', '-o', 'parent=eth0.9', 'nine');
    const networks = (await h1.lanius('network', 'ls', '-o', 'json')) as { parent: string }[];
    expect(networks.map(({ parent }) => parent)).to.include('office');
    await removeNetwork(h1, 'nine');
    await h1.docker('network', 'ls');
    expect(await subInterface(h1, 'office')).to.include({ alias: '', vlan: 9 });
    await h1.sh('ip link del office');
  });

  it('gives a long name a short form, and a parent that is down its sub-interface all the same', async () => {
    await h1.sh('ip link add fourteen-chars mtu 1400 type dummy');
    await mustCreate(h1, '--subnet', '10.7.0.0/16', '-o', 'parent=fourteen-chars.7', 'seven');
    const made = (await subInterfaceNames(h1)).split(' ').find((name) => name.startsWith('vl')) ?? '';
    expect(made).to.match(/^vl[0-9a-f]{8}\.7$/);
    const expected = { lower: 'fourteen-chars', vlan: 7, alias: MARK, mtu: 1400 };
    expect(await subInterface(h1, made)).to.include({ ...expected, up: false });
    await h1.sh('ip link set fourteen-chars up');
    expect(await subInterface(h1, made)).to.include({ ...expected, up: true });
    await removeNetwork(h1, 'seven');
    await untilNames(h1, 'eth0.5 eth0.6');
    await h1.sh('ip link del fourteen-chars');
  });

  it('leaves no pool behind what it refused', async () => {
    const pools = (await h1.lanius('pool', 'ls', '-o', 'json')) as { pool: string }[];
    expect(pools.map(({ pool }) => pool).sort()).to.deep.equal(['10.5.0.0/16', '10.6.0.0/16']);
  });

  it('starts containers on both machines, each with the MAC of its address', async () => {
    await each(async (machine) => {
      for (const { name } of NETWORKS) await serve(machine, name, '--restart', 'always', ...LIMITED);
    });
    const all = await containersOf(lab);
    expect(all).to.have.length(4);
    expect(new Set(all.map(({ ip }) => ip)).size).to.equal(4);
    for (const { ip, mac, name } of all) {
      expect([name, mac]).to.deep.equal([name, macOfIp(ip)]);
      expect(ip).to.match(name.endsWith('five') ? /^10\.5\./ : /^10\.6\./);
    }
  });

  it('holds the limits of containers on VLANs', () => expectLimits(lab));

  for (const { name } of NETWORKS) {
    it(`connects the machines within the VLAN ${name} by ping and TCP, both ways`, () =>
      expectTalk(lab, name));
  }

  it('keeps the VLANs apart, even for an address of the other one', async () => {
    const target = await containerOn(h2, 'five');
    const ask = async (container: string, own: string) => {
      const sandbox = await h1.sandbox(container);
      await runOk(sandbox.command(['ip', 'addr', 'add', `${own}/16`, 'dev', 'eth0']));
      return h1.tryDocker('exec', container, 'ping', '-c1', '-W1', '-I', own, target.ip);
    };
    expect((await ask('h1-five', '10.5.99.1')).status, 'inside its VLAN').to.equal(0);
    expect((await ask('h1-six', '10.5.99.2')).status, 'from the other VLAN').to.equal(1);
    const untagged = await lab.outside.exec([
      'sh',
      '-c',
      `ip addr add 10.5.99.3/16 dev eth0; ping -c1 -W1 ${target.ip}`,
    ]);
    expect(untagged.status, 'untagged').to.equal(1);
  });

  it('has the leases exact, with host and container', async () => {
    const want = (await containersOf(lab)).map(({ ip, name }) => `${ip} ${name.split('-')[0]} ${name}`);
    await until('the leases are those of the containers', async () => {
      const rows = await leases(h1);
      const have = rows.map(({ address, host, containerName }) => `${address} ${host} ${containerName}`);
      return JSON.stringify(have.sort()) === JSON.stringify(want.sort());
    });
  });

  it('lets a parent that holds limits itself know the containers of its VLANs', async () => {
    const words = ['--subnet', '10.8.0.0/24', '-o', 'parent=eth0', '-o', 'macvlan_mode=private'];
    const driver = ['-d', 'lanius', '--ipam-driver', 'lanius'];
    await h1.docker('network', 'create', ...driver, ...words, '-o', 'enforce=host', 'guard');
    await h1.docker('run', '-d', '--name', 'guarded', '--network', 'guard', IMAGE, 'sleep', '1000');
    let classes = '';
    await until('all have a class', async () => {
      classes = await h1.sh('tc -s class show dev eth0');
      return classes.match(/class htb 4c48:1[0-9a-f] /g)?.length === 1 + NETWORKS.length;
    }).catch(() => expect(classes).to.equal('a class for each container'));
    for (const { name } of NETWORKS) await expectTalk(lab, name);
    classes = await h1.sh('tc -s class show dev eth0');
    expect(/class htb 4c48:fffe .*\n Sent (\d+) bytes/.exec(classes)?.[1], 'of unknown MACs').to.equal('0');
    await h1.docker('rm', '-f', 'guarded');
    await removeNetwork(h1, 'guard');
    await until(
      'the parent is free of it',
      async () => !(await h1.sh('tc qdisc show dev eth0')).includes('htb'),
    );
  });

  it('says in lanius doctor that the kernel makes VLANs and that the sub-interfaces are up', async () => {
    const said = await h1.tryLanius('doctor', '-o', 'json');
    const { checks } = JSON.parse(said.stdout) as DoctorReport;
    const of = (check: string) => checks.find((row) => row.check === check);
    expect(of('kernel')).to.include({ status: 'ok' });
    expect(of('kernel')?.finding).to.match(/makes macvlan links and VLAN sub-interfaces/);
    for (const vlan of [5, 6]) expect(of(`parent eth0.${vlan}`)).to.include({ status: 'ok' });
  });

  crashTests(() => lab);

  it('removes its sub-interfaces with the last network, and leaves the operator his', async () => {
    await each(async (machine) => {
      await machine.sh('docker rm -f $(docker ps -aq) >/dev/null && docker network rm five six >/dev/null');
    });
    await untilNames(h1, '');
    await untilNames(h2, 'eth0.6');
    expect(await subInterface(h2, 'eth0.6')).to.include({ alias: '', vlan: 6 });
    await untilNothingLeft(lab);
  });
});
