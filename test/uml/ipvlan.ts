/**
 * Runs inside user-mode Linux (uml.test.ts starts it), whose kernel has ipvlan: two machines with a network of
 * `mode=ipvlan`, and what it refuses.
 */
import { expect } from 'chai';
import { Conflict } from '../../core/errors.ts';
import { linkAliasOf, linkNameOf } from '../../core/ids.ts';
import { KernelIpvlans } from '../../net/ipvlan-port.ts';
import { failure, useKernelLinks } from '../netns/kernel-links.ts';
import { labConfig, leases, running } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import { untilNothingLeft } from '../support/left-keys.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const SUBNET = '10.8.0.0/16';
const ENDPOINT = 'cd'.repeat(32);
const SPEC = { name: linkNameOf(ENDPOINT), parent: 'up0', alias: linkAliasOf(ENDPOINT) };

describe('uml/ipvlan links', () => {
  const bench = useKernelLinks();
  const ipvlans = (): KernelIpvlans => new KernelIpvlans(bench.kernel);

  it('makes a link with the MAC of the parent, marked, and takes it as made', async () => {
    await ipvlans().ipvlanTry('up0');
    const made = await ipvlans().ipvlanAdd({ ...SPEC, mtuBytes: 1400 });
    expect(made).to.include({ kind: 'ipvlan', alias: SPEC.alias, mtuBytes: 1400, up: false });
    expect(made.macAddress).to.equal(bench.namespace.link('up0')?.address);
    expect(await ipvlans().ipvlanAdd(SPEC)).to.deep.equal(made);
    await ipvlans().ipvlanTry('up0');
    expect(bench.namespace.links().map(({ ifname }) => ifname)).to.have.members([
      'lo',
      'up0',
      'up1',
      SPEC.name,
    ]);
  });

  it('says that the parent is in use by macvlan', async () => {
    bench.namespace.ip('link', 'add', 'm0', 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
    const error = await failure(ipvlans().ipvlanTry('up0'));
    expect(error).to.be.instanceOf(Conflict);
    expect(error.message).to.contain('ipvlan cannot use up0, because it is in use in a way that excludes it');
  });
});

describe('uml/ipvlan', () => {
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
    });
    h1 = lab.machine('h1');
    h2 = lab.machine('h2');
    await each(async (machine) => {
      await machine.startLanius(labConfig(lab));
      await machine.startEngine();
    });
  });
  after(() => lab?.down());

  const each = <T>(act: (machine: Machine) => Promise<T>): Promise<T[]> => Promise.all(lab.machines.map(act));
  const create = (machine: Machine, ...args: readonly string[]) =>
    machine.tryDocker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...args);
  const parentMac = async (machine: Machine): Promise<string> =>
    (await machine.sh('cat /sys/class/net/eth0/address')).trim();

  it('makes the network and starts containers that share the MAC of the parent', async () => {
    await each(async (machine) => {
      const made = await create(machine, '--subnet', SUBNET, '-o', 'parent=eth0', '-o', 'mode=ipvlan', 'l2');
      expect(made.status, made.stderr).to.equal(0);
      for (const n of [1, 2]) {
        const names = ['--name', `${machine.name}-${n}`, '--network', 'l2'];
        await machine.docker('run', '-d', ...names, 'bb:1', 'sleep', '100000');
      }
      const inside = await machine.docker('exec', `${machine.name}-1`, 'cat', '/sys/class/net/eth0/address');
      expect(inside.trim()).to.equal(await parentMac(machine));
    });
  });

  it('connects containers of one machine and of two', async () => {
    const ips = (await each((machine) => running(machine, 'l2'))).flat().map(({ ip }) => ip);
    expect(new Set(ips).size).to.equal(4);
    await each(async (machine) => {
      for (const ip of ips) await machine.docker('exec', `${machine.name}-1`, 'ping', '-c1', '-W3', ip);
    });
  });

  it('has the MAC of the parent in its leases', async () => {
    const mac = await parentMac(h1);
    await until('the leases say who has them', async () => {
      const rows = (await leases(h1, ['--host', 'h1'])) as { macAddress?: string; state: string }[];
      return rows.length === 2 && rows.every((row) => row.macAddress === mac);
    });
  });

  it('refuses a MAC of its own', async () => {
    const args = ['run', '--rm', '--network', 'l2', '--mac-address', '02:00:00:00:00:07', 'bb:1', 'true'];
    const said = await h2.tryDocker(...args);
    expect(said.status).not.to.equal(0);
    expect(said.stderr).to.contain('has the MAC of the parent eth0');
  });

  it('refuses another mode on the same parent, and ipvlan where macvlan is', async () => {
    const refused = await create(h1, '--subnet', '10.9.0.0/16', '-o', 'parent=eth0', 'mac');
    expect(refused.status).to.equal(1);
    expect(refused.stderr).to.match(/option mode: network [0-9a-f]{12} uses eth0 with mode=ipvlan/);
    await h1.sh('ip link add d0 type dummy && ip link set d0 up && ip link add m0 link d0 type macvlan');
    const busy = await create(h1, '--subnet', '10.9.0.0/16', '-o', 'parent=d0', '-o', 'mode=ipvlan', 'busy');
    await h1.sh('ip link del d0');
    expect(busy.status).to.equal(1);
    expect(busy.stderr).to.contain('ipvlan cannot use d0, because it is in use in a way that excludes it');
  });

  it('survives a restart of the daemon, and leaves nothing', async () => {
    await each(async (machine) => {
      await machine.restartLanius('SIGKILL');
      await machine
        .docker('exec', `${machine.name}-1`, 'ping', '-c1', '-W3', lab.outside.address)
        .catch(() => '');
      await machine.sh('docker rm -f $(docker ps -aq) >/dev/null && docker network rm l2 >/dev/null');
      await until('no link of ours is left', async () => {
        return !(await machine.sh('ip -d link')).includes('lanius:');
      });
      expect(await machine.sh('ip -o link show type ipvlan')).to.equal('');
    });
    await untilNothingLeft(lab);
  });
});
