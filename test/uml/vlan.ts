/**
 * Runs inside user-mode Linux (e2e/uml.test.ts starts it): two machines on a trunk, and networks of Lanius on the
 * VLANs 5 and 6, one by `parent=eth0.5`, one by `parent=eth0` and `vlan=6`.
 */
import { expect } from 'chai';
import type { DoctorReport } from '../../plugin/wire/admin.ts';
import { labConfig, leases, macOfIp, type RunningContainer, running } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';

const NETWORKS = [
  { name: 'five', subnet: '10.5.0.0/16', parent: ['-o', 'parent=eth0.5'] },
  { name: 'six', subnet: '10.6.0.0/16', parent: ['-o', 'parent=eth0', '-o', 'vlan=6'] },
] as const;

describe('uml/vlan', () => {
  let lab: Lab;
  let h1: Machine;
  let h2: Machine;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'lab');
    lab = await Lab.up({
      machines: [
        { name: 'h1', engine: '20.10' },
        { name: 'h2', engine: '28.5' },
      ],
      etcd: { unsafeNoFsync: true },
      vlans: [5, 6],
    });
    h1 = lab.machine('h1');
    h2 = lab.machine('h2');
    await each(async (machine) => {
      for (const vlan of [5, 6]) {
        await machine.sh(
          `ip link add link eth0 name eth0.${vlan} type vlan id ${vlan} && ip link set eth0.${vlan} up`,
        );
      }
      await machine.startLanius(labConfig(lab));
      await machine.startEngine();
    });
  });
  after(() => lab?.down());

  const each = <T>(act: (machine: Machine) => Promise<T>): Promise<T[]> => Promise.all(lab.machines.map(act));
  const create = (machine: Machine, ...args: readonly string[]) =>
    machine.tryDocker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...args);

  it('makes networks on both machines, on a sub-interface and on parent with vlan', async () => {
    await each(async (machine) => {
      for (const { name, subnet, parent } of NETWORKS) {
        const said = await create(machine, '--subnet', subnet, ...parent, name);
        expect(said.status, said.stderr).to.equal(0);
      }
    });
    for (const machine of lab.machines) {
      const networks = (await machine.lanius('network', 'ls', '-o', 'json')) as { parent: string }[];
      expect(networks.map(({ parent }) => parent).sort()).to.deep.equal(['eth0.5', 'eth0.6']);
    }
  });

  it('refuses a VLAN without its sub-interface with the command that makes it', async () => {
    const { status, stderr } = await create(
      h1,
      ...['--subnet', '10.7.0.0/16', '-o', 'parent=eth0', '-o', 'vlan=7', 'seven'],
    );
    expect(status).to.equal(1);
    expect(stderr).to.contain(
      'VLAN sub-interface eth0.7 does not exist on this host: ip link add link eth0 name eth0.7 type vlan id 7 && ip link set eth0.7 up',
    );
  });

  it('refuses a link of that name that is another VLAN', async () => {
    await h1.sh('ip link add link eth0 name eth0.8 type vlan id 9');
    const { status, stderr } = await create(
      h1,
      ...['--subnet', '10.8.0.0/16', '-o', 'parent=eth0', '-o', 'vlan=8', 'eight'],
    );
    await h1.sh('ip link del eth0.8');
    expect(status).to.equal(1);
    expect(stderr).to.contain('link eth0.8 exists, but is not the VLAN 8 (it is VLAN 9)');
  });

  for (const vlan of ['0', '4095']) {
    it(`refuses vlan=${vlan}`, async () => {
      const { status, stderr } = await create(
        h1,
        ...['--subnet', '10.7.0.0/16', '-o', 'parent=eth0', '-o', `vlan=${vlan}`, 'wrong'],
      );
      expect(status).to.equal(1);
      expect(stderr).to.match(new RegExp(`option vlan: .*${vlan}.*1 to 4094`));
    });
  }

  it('leaves no pool behind what it refused', async () => {
    const pools = (await h1.lanius('pool', 'ls', '-o', 'json')) as { pool: string }[];
    expect(pools.map(({ pool }) => pool).sort()).to.deep.equal(['10.5.0.0/16', '10.6.0.0/16']);
  });

  it('starts containers on both machines, each with the MAC of its address', async () => {
    const serve = 'while :; do echo "hello from $(hostname)" | nc -l -p 9000; done';
    await each(async (machine) => {
      for (const { name } of NETWORKS) {
        const container = `${machine.name}-${name}`;
        const names = ['--name', container, '--hostname', container, '--network', name];
        await machine.docker('run', '-d', ...names, 'bb:1', 'sh', '-c', serve);
      }
    });
    const all = (await containers()).flat();
    expect(all).to.have.length(4);
    expect(new Set(all.map(({ ip }) => ip)).size).to.equal(4);
    for (const { ip, mac, name } of all) {
      expect([name, mac]).to.deep.equal([name, macOfIp(ip)]);
      expect(ip).to.match(name.endsWith('five') ? /^10\.5\./ : /^10\.6\./);
    }
  });

  for (const { name } of NETWORKS) {
    it(`connects the machines within the VLAN ${name} by ping and TCP, both ways`, async () => {
      for (const [from, to] of [
        [h1, h2],
        [h2, h1],
      ] as const) {
        const { ip } = await one(to, name);
        const script = `ping -c2 -i 0.2 -W2 ${ip} >/dev/null && nc -w 5 ${ip} 9000 </dev/null`;
        const said = await from.docker('exec', `${from.name}-${name}`, 'sh', '-c', script);
        expect(said).to.equal(`hello from ${to.name}-${name}`);
      }
    });
  }

  it('keeps the VLANs apart, even for an address of the other one', async () => {
    const target = await one(h2, 'five');
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
    const want = (await containers()).flat().map(({ ip, name }) => `${ip} ${name.split('-')[0]} ${name}`);
    await until('the leases are those of the containers', async () => {
      const rows = await leases(h1);
      const have = rows.map(({ address, host, containerName }) => `${address} ${host} ${containerName}`);
      return JSON.stringify(have.sort()) === JSON.stringify(want.sort());
    });
  });

  it('says in lanius doctor that the kernel makes VLANs and that the sub-interfaces are up', async () => {
    const said = await h1.tryLanius('doctor', '-o', 'json');
    const { checks } = JSON.parse(said.stdout) as DoctorReport;
    const of = (check: string) => checks.find((row) => row.check === check);
    expect(of('kernel')).to.include({ status: 'ok' });
    expect(of('kernel')?.finding).to.match(/makes macvlan links and VLAN sub-interfaces$/);
    for (const vlan of [5, 6]) expect(of(`parent eth0.${vlan}`)).to.include({ status: 'ok' });
  });

  it('leaves nothing when containers and networks are removed', async () => {
    await each(async (machine) => {
      await machine.sh('docker rm -f $(docker ps -aq) >/dev/null && docker network rm five six >/dev/null');
    });
    const keys = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/');
    const left = keys.split('\n').filter((key) => key !== '' && !/\/(hosts|sessions|poolset)/.test(key));
    expect(left).to.deep.equal([]);
  });

  /** By machine, those of both networks. */
  function containers(): Promise<RunningContainer[][]> {
    return each(async (machine) =>
      (await Promise.all(NETWORKS.map(({ name }) => running(machine, name)))).flat(),
    );
  }

  async function one(machine: Machine, network: string): Promise<RunningContainer> {
    const [container] = await running(machine, network);
    if (container === undefined) throw new Error(`no container of ${network} on ${machine.name}`);
    return container;
  }
});
