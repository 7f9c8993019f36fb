import { expect } from 'chai';
import { exact, flatLab, IMAGE, leases, macOfIp, removeAll, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { untilNothingLeft } from '../support/left-keys.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const SUBNET = { name: 'flat', subnet: '10.77.16.0/24', gateway: '10.77.16.1' };

describe('e2e/three engines, one etcd, one /24', function () {
  this.timeout(240_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab(SUBNET);
  });
  after(() => lab?.down());

  it('gives 3 × 40 containers that start at once 120 different addresses, each with the MAC of its address', async () => {
    const outcomes = (
      await Promise.all(lab.machines.map((machine) => startMany(machine, 40, `${machine.name}-`)))
    ).flat();
    expect(outcomes.filter((outcome) => outcome.status !== 0).map((outcome) => outcome.stderr)).to.deep.equal(
      [],
    );
    const containers = (await Promise.all(lab.machines.map((machine) => running(machine)))).flat();
    expect(containers).to.have.length(120);
    expect(new Set(containers.map(({ ip }) => ip)).size).to.equal(120);
    for (const { ip, mac } of containers) expect(mac).to.equal(macOfIp(ip));
  });

  it('lets them ping and talk TCP across machines and engines', async () => {
    for (const [index, machine] of lab.machines.entries()) {
      const other = lab.machines[(index + 1) % lab.machines.length];
      if (other === undefined) throw new Error('no machine');
      const [target] = await running(other);
      const [source] = await running(machine);
      if (target === undefined || source === undefined) throw new Error('no container');
      await other.docker(
        'exec',
        '-d',
        target.name,
        'sh',
        '-c',
        `echo hello from ${target.name} | nc -l -p 9000`,
      );
      await machine.docker('exec', source.name, 'ping', '-c', '2', '-i', '0.2', '-W', '2', target.ip);
      const said = await machine.docker(
        'exec',
        source.name,
        'sh',
        '-c',
        `nc -w 3 ${target.ip} 9000 </dev/null`,
      );
      expect(said).to.equal(`hello from ${target.name}`);
    }
  });

  it('has the pool exact: one lease a container, on the right host, with its name', async () => {
    for (const machine of lab.machines) await exact(machine);
    const [first] = lab.machines;
    if (first === undefined) throw new Error('no machine');
    const rows = await until('every lease knows its container', async () => {
      const now = await leases(first);
      return now.every((row) => row.containerName !== undefined) && now;
    });
    expect(rows).to.have.length(120);
    const containers = new Map(
      (await Promise.all(lab.machines.map((machine) => running(machine))))
        .flat()
        .map(({ ip, name }) => [ip, name]),
    );
    for (const row of rows)
      expect([row.address, row.containerName]).to.deep.equal([row.address, containers.get(row.address)]);
    for (const row of rows) expect(row.host).to.equal(row.containerName?.split('-')[0]);
  });

  it('fails the first container over a full /24 with pool and counts, and the next docker rm makes room', async () => {
    const [one, two, three] = lab.machines;
    if (one === undefined || two === undefined || three === undefined) throw new Error('no machine');
    // 254 usable addresses, one of them the gateway's
    const more = await Promise.all([
      startMany(one, 45, 'm1-'),
      startMany(two, 44, 'm2-'),
      startMany(three, 44, 'm3-'),
    ]);
    expect(
      more
        .flat()
        .filter(({ status }) => status !== 0)
        .map(({ stderr }) => stderr),
    ).to.deep.equal([]);
    for (const machine of lab.machines) {
      const refused = await machine.tryDocker('run', '--rm', '--network', 'flat', IMAGE, 'true');
      expect(refused.status).to.equal(125);
      expect(refused.stderr).to.match(
        /pool 10\.77\.16\.0\/24 is exhausted: 0 of 254 addresses from 10\.77\.16\.1 to 10\.77\.16\.254 are free, 254 are taken: remove containers or use a larger pool \(exhausted, req [0-9a-f]{6}\)/,
      );
    }
    await two.docker('rm', '-f', 'm2-1');
    await one.docker('run', '-d', '--name', 'last', '--network', 'flat', IMAGE, 'sleep', '100000');
    for (const machine of lab.machines) await exact(machine);
  });

  it('leaves nothing when all containers and networks are removed', async () => {
    await Promise.all(lab.machines.map((machine) => removeAll(machine)));
    for (const machine of lab.machines) await exact(machine);
    for (const machine of lab.machines) await machine.docker('network', 'rm', 'flat');
    await untilNothingLeft(lab);
  });
});
