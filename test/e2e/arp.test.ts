/** What users see of ARP: none for containers, whatever their engine; fixed MACs; strangers. */

import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import type { LeaseInfo, NetworkInfo } from '../../plugin/wire/admin.ts';
import { captureArp, questionsFor } from '../support/arp-wire.ts';
import { IMAGE, labConfig, removeAll, THREE } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { sandboxesOf } from '../support/sandboxes.ts';

interface Net {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly options: readonly string[];
}

const PRELOAD: Net = {
  name: 'tables',
  subnet: '10.77.20.0/24',
  gateway: '10.77.20.1',
  options: ['-o', 'arp=preload'],
};
const RESPONDER: Net = {
  name: 'answers',
  subnet: '10.77.32.0/20',
  gateway: '10.77.32.1',
  options: ['-o', 'arp=responder'],
};
const LEASED: Net = {
  name: 'leased',
  subnet: '10.77.48.0/20',
  gateway: '10.77.48.1',
  options: ['-o', 'arp=responder', '-o', 'responder=leased'],
};
const AUTO: Net = { name: 'chosen', subnet: '10.77.64.0/19', gateway: '10.77.64.1', options: [] };
const FIXED = '02:fa:ce:00:00:01';

describe('e2e/arp', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await Lab.up(THREE);
    await Promise.all(lab.machines.map((machine) => machine.startLanius(labConfig(lab))));
    await Promise.all(lab.machines.map((machine) => machine.startEngine()));
  });
  after(() => lab?.down());

  const create = (machine: Machine, { name, subnet, gateway, options }: Net): Promise<string> =>
    machine.docker(
      ...[
        'network',
        'create',
        '-d',
        'lanius',
        '--ipam-driver',
        'lanius',
        '--subnet',
        subnet,
        '--gateway',
        gateway,
      ],
      ...['-o', 'parent=eth0', ...options, name],
    );
  const runOn = (machine: Machine, name: string, network: string, ...options: string[]): Promise<string> =>
    machine.docker('run', '-d', '--name', name, '--network', network, ...options, IMAGE, 'sleep', '100000');
  const ipOf = (machine: Machine, name: string): Promise<string> =>
    machine.docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', name);
  const first = (): Machine => {
    const [machine] = lab.machines;
    if (machine === undefined) throw new Error('no machine');
    return machine;
  };

  for (const net of [PRELOAD, RESPONDER, LEASED]) {
    it(`asks nobody for containers, also not for one with a MAC of its own: ${net.name}`, async () => {
      await Promise.all(lab.machines.map((machine) => create(machine, net)));
      await runOn(first(), 'fixed', net.name, '--mac-address', FIXED);
      const fixed = await ipOf(first(), 'fixed');
      await Promise.all(
        lab.machines.flatMap((machine) =>
          ['one', 'two'].map((name) => runOn(machine, `${machine.name}-${name}`, net.name)),
        ),
      );
      const ips = [fixed];
      for (const machine of lab.machines)
        for (const name of ['one', 'two']) ips.push(await ipOf(machine, `${machine.name}-${name}`));
      const entries = (await first().lanius('ip', 'ls', '--pool', net.subnet, '-o', 'json')) as LeaseInfo[];
      expect(entries.find(({ address }) => address === fixed)).to.include({
        fixedMac: FIXED,
      });
      await inForce(lab.machines, net.name);

      const capture = await captureArp();
      for (const machine of lab.machines) {
        const targets = ips.join(' ');
        await machine.docker(
          'exec',
          `${machine.name}-one`,
          'sh',
          '-c',
          `for ip in ${targets}; do ping -c 1 -W 3 $ip || exit 1; done`,
        );
      }
      await first().docker(
        'exec',
        'fixed',
        'sh',
        '-c',
        `for ip in ${ips.join(' ')}; do ping -c 1 -W 3 $ip || exit 1; done`,
      );
      const frames = await capture.stop();
      expect(questionsFor(frames, ips)).to.deep.equal([]);

      if (net === LEASED) {
        const free = net.subnet.replace('.48.0/20', '.55.77');
        const began = performance.now();
        const refused = await first().tryDocker('exec', 'h1-one', 'ping', '-c', '1', '-W', '5', free);
        expect(refused.status).not.to.equal(0);
        expect(performance.now() - began).to.be.below(20_000);
      }
      await Promise.all(lab.machines.map((machine) => removeAll(machine)));
      await Promise.all(lab.machines.map((machine) => machine.docker('network', 'rm', net.name)));
      const left = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/macs/');
      expect(left.trim()).to.equal('');
    });
  }

  it('chooses by itself and says what and why; the machines themselves are asked for as usual', async () => {
    await Promise.all(lab.machines.map((machine) => create(machine, AUTO)));
    const listed = (await first().lanius('network', 'ls', '-o', 'json')) as NetworkInfo[];
    expect(listed[0]?.arp).to.include({ wish: 'auto', how: 'responder', entries: 8189 });
    const doctor = await first().tryLanius('doctor');
    expect(doctor.stdout).to.match(
      /arp [0-9a-f]{12} +responder of 8189 addresses \(arp=auto: 8189 addresses are many\)/,
    );
    await Promise.all(lab.machines.map((machine) => machine.docker('network', 'rm', AUTO.name)));

    const wide = { ...AUTO, name: 'wide', subnet: '10.77.0.0/16', gateway: '10.77.0.2' };
    await Promise.all(lab.machines.map((machine) => create(machine, wide)));
    await runOn(first(), 'asks', wide.name);
    const [, second] = lab.machines;
    const seen = await first().docker('exec', 'asks', 'ping', '-c', '1', '-W', '3', second?.address ?? '');
    expect(seen).to.include('1 packets received');
    await Promise.all(lab.machines.map((machine) => removeAll(machine)));
    await Promise.all(lab.machines.map((machine) => machine.docker('network', 'rm', wide.name)));
  });

  it('sets addresses aside that strangers use, with probe=arp, and gives others', async () => {
    const [one, two] = lab.machines;
    if (one === undefined || two === undefined) throw new Error('no machine');
    const net: Net = {
      name: 'asked',
      subnet: '10.77.22.0/29',
      gateway: '10.77.22.1',
      options: ['-o', 'probe=arp'],
    };
    await create(one, net);
    const strangers = ['10.77.22.2', '10.77.22.3', '10.77.22.4'];
    for (const ip of strangers) await two.sh(`ip addr add ${ip}/32 dev eth0`);
    for (const name of ['c1', 'c2']) {
      await runOn(one, name, net.name);
      expect(['10.77.22.5', '10.77.22.6']).to.include(await ipOf(one, name));
    }
    const refused = await one.tryDocker('run', '--rm', '--network', net.name, IMAGE, 'true');
    expect(refused.status).to.equal(125);
    const rows = (await one.lanius(
      'ip',
      'ls',
      '--pool',
      net.subnet,
      '--state',
      'reserved',
      '-o',
      'json',
    )) as LeaseInfo[];
    const aside = rows.filter(({ role }) => role === 'quarantine');
    expect(aside.length).to.be.at.least(1);
    expect((await one.tryLanius('doctor')).stdout).to.include('a machine outside of Lanius uses 10.77.22.');
    for (const { address } of aside) await one.lanius('ip', 'unreserve', address);
    const named = await one.tryDocker(
      'run',
      '--rm',
      '--network',
      net.name,
      '--ip',
      '10.77.22.3',
      IMAGE,
      'true',
    );
    expect(named.status).to.equal(125);
    expect(named.stderr).to.match(
      /address 10\.77\.22\.3 is in use by a machine outside of Lanius \(MAC [0-9a-f:]{17}/,
    );
    await removeAll(one);
    await one.docker('network', 'rm', net.name);
    expect(await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/leases/')).to.equal('');
    expect((await one.tryLanius('store', 'check')).status).to.equal(0);
  });
});

/** In every container; what engines before 28 do not wait for comes at once all the same. */
async function inForce(machines: readonly Machine[], network: string): Promise<void> {
  await until(`ARP is kept off the wire on ${network}`, async () => {
    for (const machine of machines) {
      for (const { path } of (await sandboxesOf(machine)).values()) {
        const run = (...command: string[]) =>
          execFileSync('nsenter', [`--net=${path}`, ...command], { encoding: 'utf8' });
        const ready =
          network === 'tables'
            ? run('ip', 'neigh').includes(FIXED) || run('ip', '-o', 'link').includes(FIXED)
            : run('tc', 'filter', 'show', 'dev', 'eth0', 'egress').includes('lanius');
        if (!ready) return false;
      }
    }
    return true;
  });
}
