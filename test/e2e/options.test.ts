import { expect } from 'chai';
import { atStart, refusal } from '../support/docker-words.ts';
import { exact, flatLab, IMAGE, leases, removeAll, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';

const DRIVERS = ['-d', 'lanius', '--ipam-driver', 'lanius', '-o', 'parent=eth0'];
const SLEEP = [IMAGE, 'sleep', '100000'];

describe('e2e/options of networks, on three engines', function () {
  this.timeout(120_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab({ subnet: '10.77.60.0/24', gateway: '10.77.60.1' });
  });
  after(() => lab?.down());
  afterEach(async () => {
    await everywhere(removeAll);
    await everywhere((machine) =>
      machine.sh('for n in $(docker network ls -q --filter name=test); do docker network rm $n; done'),
    );
  });

  /** Like Promise.all, but nothing is still running when it rejects. */
  const everywhere = async <T>(work: (machine: Machine, index: number) => Promise<T>): Promise<T[]> => {
    const all = lab.machines.map(work);
    await Promise.allSettled(all);
    return Promise.all(all);
  };
  const create = (machine: Machine, name: string, ...args: readonly string[]): Promise<string> =>
    machine.docker('network', 'create', ...DRIVERS, ...args, name);
  const run = (machine: Machine, name: string, ...args: readonly string[]): Promise<string> =>
    machine.docker('run', '-d', '--name', name, ...args, ...SLEEP);
  const inSandbox = async (machine: Machine, name: string, ...words: readonly string[]): Promise<string> =>
    (await runOk((await machine.sandbox(name)).command(words))).trimEnd();
  const ipOf = async (machine: Machine, name: string, network: string): Promise<string> =>
    (await running(machine, network)).find((container) => container.name === name)?.ip ?? '';
  const pings = (machine: Machine, from: string, ip: string): Promise<string> =>
    machine.docker('exec', from, 'ping', '-c1', '-W2', ip);

  it('keeps the limits that networks and endpoints say', () =>
    everywhere(async (machine) => {
      const limits = ['-o', 'net_in=100mbit', '-o', 'lanius.net_out=20000', '-o', 'net_out_min=5mbit'];
      const host = ['-o', 'enforce=host', '-o', 'macvlan_mode=private'];
      await create(machine, 'test', '--subnet', '10.77.61.0/24', ...limits, ...host);
      const options = 'driver-opt=net_in=10mbit,driver-opt=lanius.net_in_burst=64kb';
      await run(machine, 'aa', '--network', `name=test,${options}`);
      await run(machine, 'bb', '--network', 'flat');
      await machine.docker('network', 'connect', '--driver-opt', 'net_out=none', 'test', 'bb');
      const records = async (kind: string): Promise<Record<string, unknown>[]> =>
        (await machine.sh(`cat /var/lib/lanius/${kind}/*.json`))
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      const said = (await records('networks')).filter(({ limits: texts }) => texts !== undefined);
      expect(said.map(({ limits: texts, enforce }) => ({ texts, enforce }))).to.deep.equal([
        { texts: { net_in: '100mbit', net_out: '20000', net_out_min: '5mbit' }, enforce: 'host' },
      ]);
      expect((await records('endpoints')).map((record) => record['options'])).to.have.deep.members([
        { net_in: '10mbit', net_in_burst: '64kb' },
        {},
        { net_out: 'none' },
      ]);
    }));

  for (const mode of ['bridge', 'private', 'vepa']) {
    it(`sets macvlan mode ${mode} on the links`, () =>
      everywhere(async (machine) => {
        await create(machine, 'test', '--subnet', '10.77.61.0/24', '-o', `macvlan_mode=${mode}`);
        for (const name of ['aa', 'bb']) await run(machine, name, '--network', 'test');
        expect(await inSandbox(machine, 'aa', 'ip', '-d', 'link', 'show', 'eth0')).to.contain(
          `macvlan mode ${mode} `,
        );
        // Only bridge lets containers of one parent talk without the switch's help.
        const ip = await ipOf(machine, 'bb', 'test');
        const { status } = await machine.tryDocker('exec', 'aa', 'ping', '-c1', '-W1', ip);
        expect(status === 0, `ping in mode ${mode}`).to.equal(mode === 'bridge');
      }));
  }

  it('sets macvlan mode passthru, for one container', () =>
    everywhere(async (machine) => {
      await machine.sh('ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up');
      const parent = ['-o', 'parent=up0', '-o', 'macvlan_mode=passthru'];
      await machine.docker(
        'network',
        'create',
        ...DRIVERS.slice(0, 4),
        '--subnet',
        '10.77.62.0/24',
        ...parent,
        'test',
      );
      await run(machine, 'aa', '--network', 'test');
      expect(await inSandbox(machine, 'aa', 'ip', '-d', 'link', 'show', 'eth0')).to.contain(
        'macvlan mode passthru ',
      );
      const second = refusal(await machine.tryDocker('run', '--name', 'bb', '--network', 'test', ...SLEEP));
      expect(second.replace(/"ln[0-9a-f]{12}"/, 'LINK')).to.equal(
        atStart(
          machine.engine,
          'NetworkDriver.Join: cannot create macvlan link LINK on "up0": EINVAL: mode passthru needs a parent that no other macvlan uses (kernel, req ID)',
        ),
      );
      await machine.docker('rm', '-f', 'bb');
      await exact(machine, {}, 'test');
    }));

  it('sets the MTU', () =>
    everywhere(async (machine) => {
      await create(machine, 'test', '--subnet', '10.77.63.0/24', '-o', 'mtu=1400');
      await run(machine, 'aa', '--network', 'test');
      expect(await inSandbox(machine, 'aa', 'ip', 'link', 'show', 'eth0')).to.contain(' mtu 1400 ');
      await run(machine, 'bb', '--network', 'flat');
      expect(await inSandbox(machine, 'bb', 'ip', 'link', 'show', 'eth0')).to.contain(' mtu 1500 ');
    }));

  it('gives containers of an internal network no default route, and of others one', () =>
    everywhere(async (machine) => {
      await create(machine, 'test', '--subnet', '10.77.64.0/24', '--internal');
      await run(machine, 'aa', '--network', 'test');
      expect(await inSandbox(machine, 'aa', 'ip', 'route')).to.match(/^10\.77\.64\.0\/24 dev eth0 [^\n]*$/);
      await run(machine, 'bb', '--network', 'flat');
      expect(await inSandbox(machine, 'bb', 'ip', 'route')).to.match(
        /^default via 10\.77\.60\.1 dev eth0 *\n/,
      );
      expect(await inSandbox(machine, 'bb', 'ip', '-o', 'link')).to.not.contain('eth1');
    }));

  it('never gives out an aux address, which all hosts share', async () => {
    const aux = ['--aux-address', 'a=10.77.65.2', '--aux-address', 'b=10.77.65.3'];
    const args = ['--subnet', '10.77.65.0/29', '--gateway', '10.77.65.1', ...aux];
    await everywhere((machine) => create(machine, 'test', ...args));
    await everywhere((machine) => run(machine, 'aa', '--network', 'test'));
    const given = await everywhere((machine) => ipOf(machine, 'aa', 'test'));
    expect(given.sort()).to.deep.equal(['10.77.65.4', '10.77.65.5', '10.77.65.6']);
    await everywhere(removeAll);
    const [first, ...others] = lab.machines;
    if (first === undefined) throw new Error('no machine');
    await first.docker('network', 'rm', 'test');
    for (const machine of others) {
      const taken = await machine.tryDocker(
        'run',
        '--name',
        'bb',
        '--network',
        'test',
        '--ip',
        '10.77.65.2',
        ...SLEEP,
      );
      expect(refusal(taken)).to.contain(
        'address 10.77.65.2 of pool 10.77.65.0/29 is taken: it is reserved as auxiliary address of a network (conflict, req ID)',
      );
    }
  });

  it('keeps each host to its ip-range of one subnet, except for addresses that are asked for', async () => {
    await everywhere((machine, i) =>
      create(
        machine,
        'test',
        '--subnet',
        '10.77.66.0/24',
        '--gateway',
        '10.77.66.1',
        '--ip-range',
        `10.77.66.${64 * (i + 1)}/30`,
      ),
    );
    await everywhere(async (machine, i) => {
      const base = 64 * (i + 1);
      const own = [base, base + 1, base + 2, base + 3].map((n) => `10.77.66.${n}`);
      for (const name of ['aa', 'bb', 'cc', 'dd']) await run(machine, name, '--network', 'test');
      expect((await running(machine, 'test')).map(({ ip }) => ip).sort()).to.deep.equal(own);
      const full = await machine.tryDocker('run', '--rm', '--network', 'test', ...SLEEP);
      expect(refusal(full)).to.contain(
        `pool 10.77.66.0/24 is exhausted: 0 of 4 addresses from ${own[0]} to ${own[3]} are free, 4 are taken; `,
      );
      await run(machine, 'ee', '--network', 'test', '--ip', `10.77.66.${10 + i}`);
      expect(await ipOf(machine, 'ee', 'test')).to.equal(`10.77.66.${10 + i}`);
    });
    await everywhere(async (machine, i) => pings(machine, 'ee', `10.77.66.${10 + ((i + 1) % 3)}`));
  });

  it('lets two networks of one machine share a pool, and one of them go', () =>
    everywhere(async (machine) => {
      const args = ['--subnet', '10.77.67.0/24', '--gateway', '10.77.67.1'];
      await create(machine, 'test1', ...args);
      await create(machine, 'test2', ...args);
      await run(machine, 'aa', '--network', 'test1');
      await run(machine, 'bb', '--network', 'test2');
      await pings(machine, 'aa', await ipOf(machine, 'bb', 'test2'));
      await machine.docker('rm', '-f', 'bb');
      await machine.docker('network', 'rm', 'test2');
      await run(machine, 'cc', '--network', 'test1');
      await pings(machine, 'aa', await ipOf(machine, 'cc', 'test1'));
      const gateway = await machine.tryDocker(
        'run',
        '--name',
        'gg',
        '--network',
        'test1',
        '--ip',
        '10.77.67.1',
        ...SLEEP,
      );
      expect(refusal(gateway)).to.contain('it is reserved as gateway of a network');
      await machine.docker('rm', '-f', 'gg');
      await exact(machine, {}, 'test1');
    }));

  it('gives a container on two networks two links, and the right one goes when it leaves one', () =>
    everywhere(async (machine) => {
      await create(machine, 'test', '--subnet', '10.77.68.0/24');
      await run(machine, 'aa', '--network', 'flat');
      await machine.docker('network', 'connect', 'test', 'aa');
      const [flat, test] = [await ipOf(machine, 'aa', 'flat'), await ipOf(machine, 'aa', 'test')];
      const addresses = (): Promise<string> => inSandbox(machine, 'aa', 'ip', '-4', '-o', 'addr');
      expect(await addresses())
        .to.contain(`${flat}/24`)
        .and.contain(`${test}/24`);
      await machine.docker('network', 'disconnect', 'flat', 'aa');
      expect(await addresses())
        .to.contain(`${test}/24`)
        .and.not.contain(`${flat}/24`);
      const mine = async (): Promise<string[]> =>
        (await leases(machine, ['--host', machine.name])).map(({ address }) => address);
      await until('one lease', async () => String(await mine()) === test);
    }));

  it('serves addresses to the engine’s own macvlan driver', () =>
    everywhere(async (machine) => {
      const args = [
        '-d',
        'macvlan',
        '--ipam-driver',
        'lanius',
        '-o',
        'parent=eth0',
        '--subnet',
        '10.77.69.0/24',
      ];
      await machine.docker('network', 'create', ...args, 'test');
      await run(machine, 'aa', '--network', 'test');
      await exact(machine, {}, 'test');
      await machine.docker('rm', '-f', 'aa');
      await exact(machine, {}, 'test');
    }));

  it('gives IPv4 and IPv6 addresses, which reach each other across hosts', async () => {
    const args = [
      '--ipv6',
      '--subnet',
      '10.77.70.0/24',
      '--subnet',
      'fd00:70::/64',
      '--gateway',
      'fd00:70::1',
    ];
    await everywhere((machine) => create(machine, 'test', ...args));
    await everywhere((machine) => run(machine, 'aa', '--network', 'test'));
    const six = await everywhere((machine) =>
      machine.docker('inspect', '-f', '{{.NetworkSettings.Networks.test.GlobalIPv6Address}}', 'aa'),
    );
    expect(new Set(six).size).to.equal(3);
    for (const ip of six) expect(ip).to.match(/^fd00:70::/);
    await everywhere(async (machine, i) => {
      expect(await inSandbox(machine, 'aa', 'ip', '-6', 'route')).to.match(/default via fd00:70::1 dev eth0/);
      await pings(machine, 'aa', await ipOf(lab.machines[(i + 1) % 3] ?? machine, 'aa', 'test'));
      await inSandbox(machine, 'aa', 'ping', '-6', '-c1', '-W3', six[(i + 1) % 3] ?? '');
      const held = (await leases(machine, ['--host', machine.name])).map(({ address }) => address);
      expect(held).to.have.members([await ipOf(machine, 'aa', 'test'), six[i]]);
    });
    await everywhere(removeAll);
    await until(
      'no lease',
      async () => (await Promise.all(lab.machines.map((machine) => leases(machine)))).flat().length === 0,
    );
  });
});
