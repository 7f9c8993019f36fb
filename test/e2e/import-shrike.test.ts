/**
 * A cluster moves from Shrike to Lanius while its containers run. Shrike itself is not here (its packages are for engine 1.11 and
 * etcd 2.3): its tree is made in the layout that its sources write, and its network by the command that they run, but for its
 * address management: `br0` with the host's uplink, its containers on the engine's own bridge driver.
 * Source: TalkingData/Shrike 2373322, oam-docker-ipam/bridge/operation.go.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { checkoutFolder } from '../support/checkout.ts';
import { createNetwork, IMAGE, labConfig } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { everywhere } from '../support/rack-lab.ts';
import { need } from '../support/require.ts';
import { addressesFrom, shrikeTree, usedList } from '../support/shrike-tree.ts';

const ASSIGNED = addressesFrom('10.77.48.1', 300);
/** Containers that run on the machines of the lab, and those of a third host whose list is written here. */
const HERE = [ASSIGNED.slice(0, 2), ASSIGNED.slice(2, 4)];
const UNUSED = [ASSIGNED[4], ASSIGNED[99], ASSIGNED[150], ASSIGNED[255], ASSIGNED[299]].map(String);
const ELSEWHERE = ASSIGNED.slice(4).filter((address) => !UNUSED.includes(address));
const FILES = '/etc/lanius';

/** The commands of the page, as people would copy them. */
function listCommand(): string {
  const page = readFileSync(join(checkoutFolder, 'docs/migrate-from-shrike.md'), 'utf8');
  const block = /```sh\n(\{ echo "host [^`]*)```/.exec(page)?.[1];
  if (block === undefined) throw new Error('docs/migrate-from-shrike.md has no command for the list');
  return block;
}

describe('e2e/import-shrike, on two engines', function () {
  this.timeout(120_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await Lab.up({
      machines: [
        { name: 'h1', engine: '20.10' },
        { name: 'h2', engine: '28.5' },
      ],
      etcd: true,
    });
    await everywhere(lab, async (machine, i) => {
      const own = `${machine.address}/16`;
      await machine.sh(
        `ip link add br0 type bridge && ip link set br0 up && ip addr del ${own} dev eth0 && ` +
          `ip link set eth0 master br0 && ip addr add ${own} dev br0`,
      );
      await machine.startLanius(labConfig(lab));
      await machine.startEngine();
      const bridge = ['bridge.name=br0', 'bridge.enable_ip_masquerade=false', 'driver.mtu=1500'];
      await machine.docker(
        ...['network', 'create', ...bridge.flatMap((option) => ['-o', `com.docker.network.${option}`])],
        ...['--subnet', '10.77.0.0/16', '--gateway', machine.address],
        ...['--aux-address', 'DefaultGatewayIPv4=10.77.0.2', 'mynet'],
      );
      for (const [index, ip] of (HERE[i] ?? []).entries())
        await machine.docker(
          ...['run', '-d', '--name', `old${index}`, '--network', 'mynet', '--ip', ip],
          ...[IMAGE, 'sleep', '100000'],
        );
    });
  });
  after(() => lab?.down());

  function machines(): [Machine, Machine] {
    const [one, two] = lab.machines;
    if (one === undefined || two === undefined) throw new Error('no machine');
    return [one, two];
  }
  const imported = (...more: string[]) =>
    machines()[0].tryLanius(
      ...['import', 'shrike', `${FILES}/shrike.json`],
      ...['h1', 'h2', 'h3'].flatMap((host) => ['--used-by', `${FILES}/used-by-${host}`]),
      ...more,
    );
  const startOn = (machine: Machine, name: string, ...args: string[]) =>
    machine.tryDocker('run', '-d', '--name', name, '--network', 'flat', ...args, IMAGE, 'sleep', '100000');
  const ipOf = (machine: Machine, name: string, network = 'flat') =>
    machine.docker('inspect', '-f', `{{.NetworkSettings.Networks.${network}.IPAddress}}`, name);

  it('imports 300 assigned addresses of which 5 are unused, as its dry run has said', async () => {
    const [one] = machines();
    const tree = shrikeTree([{ net: '10.77.0.0', mask: '16', assigned: ASSIGNED }], {
      subnet: '10.77.0.0/16',
      gateway: '10.77.0.2',
      assigned: ['10.77.0.11', '10.77.0.12', '10.77.0.13'],
    });
    await one.writeFile(`${FILES}/shrike.json`, JSON.stringify(tree));
    for (const machine of lab.machines) {
      await machine.sh(`cd /tmp && ${listCommand()}`);
      await one.writeFile(`${FILES}/used-by-${machine.name}`, await machine.sh('cat /tmp/used-by-*'));
    }
    const others = ELSEWHERE.map((address, index) => [`c${index}`, address] as const);
    await one.writeFile(`${FILES}/used-by-h3`, usedList('h3', '10.77.0.13', others));

    const dry = await imported('--dry-run');
    expect(dry.stderr).to.equal(
      '1 make, 295 reserve, 5 free, 1 leave, 0 stands, 0 conflict; nothing was changed (--dry-run)\n',
    );
    const lines = dry.stdout.trimEnd().split('\n');
    for (const address of ASSIGNED) {
      const [line, ...more] = lines.filter((text) => text.includes(` ${address} `));
      expect(more, address).to.deep.equal([]);
      expect(line, address).to.match(UNUSED.includes(address) ? /^free / : /^reserve /);
    }
    expect(dry.stdout).to.match(
      /reserve +10\.77\.48\.1 +10\.77\.0\.0\/16 +shrike\.h1\.10\.77\.48\.1 +old0 on h1 has it\n/,
    );
    expect(await one.lanius('pool', 'ls', '-o', 'json')).to.deep.equal([]);

    const { status, stdout } = await imported();
    expect([status, stdout]).to.deep.equal([0, dry.stdout]);
    expect((await imported()).stderr).to.equal(
      '0 make, 0 reserve, 5 free, 1 leave, 296 stands, 0 conflict\n',
    );
  });

  it('gives out the five, and never the address of a container that runs; old and new reach each other', async () => {
    const [one, two] = machines();
    const onBridge = ['-o', 'mode=bridge', '-o', 'bridge=br0'];
    await everywhere(lab, (machine) => createNetwork(machine, { options: onBridge }));
    const started = await Promise.all(
      [0, 1, 2, 3, 4, 5, 6].map((i) => startOn(i % 2 === 0 ? one : two, `new${i}`)),
    );
    const refused = started.filter(({ status }) => status !== 0);
    expect(refused.map(({ stderr }) => /\(([a-z_]+), req/.exec(stderr)?.[1])).to.deep.equal([
      'exhausted',
      'exhausted',
    ]);
    const given = await Promise.all(
      started.flatMap(({ status }, i) => (status === 0 ? [ipOf(i % 2 === 0 ? one : two, `new${i}`)] : [])),
    );
    expect(given.toSorted()).to.deep.equal(UNUSED.toSorted());
    const inside = started[0]?.status === 0 ? 'new0' : 'new2';
    for (const ip of [...HERE.flat(), one.address, two.address])
      expect(await one.docker('exec', inside, 'ping', '-c', '1', '-W', '5', ip)).to.contain(
        ' 0% packet loss',
      );
  });

  it('moves a container to its own address on another network and host, and frees it at the end', async () => {
    const [one, two] = machines();
    const [ip = ''] = HERE[0] ?? [];
    await one.docker('rm', '-f', 'old0');
    expect((await startOn(two, 'moved', '--ip', ip)).status).to.equal(0);
    expect(await ipOf(two, 'moved')).to.equal(ip);
    const { stderr } = await imported();
    expect(stderr).to.contain('296 stands, 0 conflict');
    await two.docker('rm', '-f', 'moved');
    const rows = (await one.lanius('ip', 'ls', '--state', 'reserved', '-o', 'json')) as readonly {
      address: string;
    }[];
    expect(rows.map(({ address }) => address)).to.include(ip);
    await one.lanius('ip', 'unreserve', ip);
    expect((await startOn(one, 'next')).status).to.equal(0);
    expect(await ipOf(one, 'next')).to.equal(ip);
  });
});
