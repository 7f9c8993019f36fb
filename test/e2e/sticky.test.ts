import { expect } from 'chai';
import { refusal } from '../support/docker-words.ts';
import { IMAGE, macOfIp, removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import {
  clearPools,
  createOn,
  everywhere,
  ipamSays,
  ipOf,
  macOf,
  rackLab,
  refusedRun,
  runOn,
  threeOf,
} from '../support/rack-lab.ts';
import { need } from '../support/require.ts';

const SUBNET = '10.77.82.0/24';

/** Engines that do not tell names: the name is the operator's, and the container is started with `--ip`. */
describe('e2e/sticky addresses by reservation, on three engines', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await rackLab();
  });
  after(() => lab?.down());
  afterEach(async () => {
    const [machine] = threeOf(lab);
    const rows = await machine.lanius('ip', 'ls', '-o', 'json');
    for (const { address, role } of rows as readonly { address: string; role: string }[])
      if (role === 'operator') await machine.lanius('ip', 'unreserve', address);
    await clearPools(lab);
  });

  /** Twelve addresses, and nothing rests: what is free for a moment is given out at once. */
  const makePool = async (...args: readonly string[]): Promise<void> => {
    const range = ['--range', '10.77.82.8-10.77.82.19', '--cooling', '0s'];
    await threeOf(lab)[0].lanius('pool', 'add', 'prod', '--subnet', SUBNET, ...range, ...args);
    await everywhere(lab, (machine) => createOn(machine, 'test', '--subnet', SUBNET));
  };
  const runAt = (machine: Machine, name: string, ip: string) =>
    machine.tryDocker('run', '-d', '--name', name, '--network', 'test', '--ip', ip, IMAGE, 'sleep', '100000');

  it('keeps IP and MAC over restart, rm and run, compose and a move, while others come and go', async () => {
    await makePool();
    const own = lab.machines.map((_, i) => `10.77.82.${10 + i}`);
    await everywhere(lab, (machine, i) =>
      machine.lanius('ip', 'reserve', own[i] ?? '', `web-${machine.name}`),
    );
    const runOwn = (place: Machine, i: number): Promise<string> => {
      const args = ['--ip', own[i] ?? '', '--stop-signal', 'KILL'];
      return runOn(place, `web-${lab.machines[i]?.name}`, { args });
    };
    // While its container is away, an address is given to nobody, though all others are taken.
    await everywhere(lab, runOwn);
    await everywhere(lab, removeAll);
    const names = ['x1', 'x2', 'x3'];
    const others = (
      await everywhere(lab, (machine) => Promise.all(names.map((name) => runOn(machine, name))))
    ).flat();
    await everywhere(lab, async (machine) =>
      expect(await refusedRun(machine)).to.contain(
        'is exhausted: 0 of 12 addresses from 10.77.82.8 to 10.77.82.19 are free, 12 are taken',
      ),
    );
    await everywhere(lab, removeAll);

    let ended = false;
    const comeAndGo = everywhere(lab, async (machine) => {
      for (let round = 0; !ended || round < 4; round += 1) {
        others.push(...(await Promise.all(names.map((name) => runOn(machine, name)))));
        await machine.docker('rm', '-f', ...names);
      }
    });
    const travel = everywhere(lab, async (machine, i) => {
      const [name, ip] = [`web-${machine.name}`, own[i] ?? ''];
      const expectSame = async (place: Machine, when: string) =>
        expect([await ipOf(place, name), await macOf(place, name)], when).to.deep.equal([ip, macOfIp(ip)]);
      await runOwn(machine, i);
      await expectSame(machine, 'run');
      await machine.docker('restart', name);
      await expectSame(machine, 'restart');
      await machine.docker('rm', '-f', name);
      await runOwn(machine, i);
      await expectSame(machine, 'rm and run');
      await machine.docker('rm', '-f', name);
      if (machine.engine !== '20.10') {
        await compose(machine, name, ip, 'up', '-d');
        await expectSame(machine, 'compose up');
        const before = await machine.docker('inspect', '-f', '{{.Id}}', name);
        await compose(machine, name, ip, 'up', '-d', '--force-recreate');
        await expectSame(machine, 'compose up --force-recreate');
        expect(await machine.docker('inspect', '-f', '{{.Id}}', name)).to.not.equal(before);
        await compose(machine, name, ip, 'down');
        await compose(machine, name, ip, 'up', '-d');
        await expectSame(machine, 'compose down and up');
        await compose(machine, name, ip, 'down');
      }
      const next = lab.machines[(i + 1) % 3] ?? machine;
      await runOwn(next, i);
      await expectSame(next, 'a move');
      await lab.outside.exec(['ip', 'addr', 'add', '10.77.82.2/24', 'dev', 'eth0']);
      expect((await lab.outside.exec(['ping', '-c1', '-W5', ip])).status, `ping ${ip}`).to.equal(0);
    });
    await travel.finally(() => {
      ended = true;
    });
    await comeAndGo;
    expect(others.length).to.be.at.least(20);
    expect(others.filter((ip) => own.includes(ip))).to.deep.equal([]);
  });

  it('gives one of two containers that claim it at once the address, and tells the other who has it', async () => {
    await makePool();
    const ip = '10.77.82.15';
    const [one] = threeOf(lab);
    await one.lanius('ip', 'reserve', ip, 'db');
    for (const round of [0, 1, 2]) {
      const rivals = lab.machines.filter((_, i) => i !== round);
      const outcomes = await Promise.all(rivals.map((machine) => runAt(machine, 'db', ip)));
      const winner = rivals.find((_, i) => outcomes[i]?.status === 0);
      const loser = rivals.find((_, i) => outcomes[i]?.status !== 0);
      const refused = outcomes.find(({ status }) => status !== 0);
      if (winner === undefined || loser === undefined || refused === undefined)
        expect.fail(JSON.stringify(outcomes));
      const words = refusal(refused).replace(/(a container|endpoint [0-9a-f]{12}|db) on/, 'WHO on');
      const taken = (who: string) =>
        `address ${ip} of pool ${SUBNET} is taken: ${who} on host ${winner.name} has it (conflict, req ID)`;
      expect(words).to.equal(ipamSays(loser, taken('WHO')));
      // A moment later it is known by name.
      await until('the holder is named', async () => {
        const { stderr } = await loser.tryDocker('start', 'db');
        return stderr.replace(/req [0-9a-f]{6}/, 'req ID').includes(taken('db'));
      });
      await winner.docker('rm', '-f', 'db');
      await loser.docker('start', 'db');
      expect([await ipOf(loser, 'db'), await macOf(loser, 'db')]).to.deep.equal([ip, macOfIp(ip)]);
      await loser.docker('rm', '-f', 'db');
    }
  });

  it('refuses containers without --ip in a sticky pool, with the remedy, which works', async () => {
    await makePool('--sticky');
    await everywhere(lab, async (machine, i) => {
      const words =
        "pool prod is sticky, and this engine does not tell the plugin the container's name (29 or later does): give the container --ip, and keep that address for it with lanius ip reserve (invalid, req ID)";
      expect(await refusedRun(machine)).to.equal(ipamSays(machine, words));
      const ip = `10.77.82.${8 + i}`;
      await machine.lanius('ip', 'reserve', ip, `web${i}`);
      expect(await refusedRun(machine)).to.equal(ipamSays(machine, words));
      expect(await runOn(machine, `web${i}`, { args: ['--ip', ip] })).to.equal(ip);
    });
  });
});

/** `docker compose` of one service on the network `test`, which is there already. */
function compose(machine: Machine, name: string, ip: string, ...args: readonly string[]): Promise<string> {
  const project = {
    services: {
      web: {
        image: IMAGE,
        container_name: name,
        command: ['sleep', '100000'],
        stop_signal: 'KILL',
        networks: { test: { ipv4_address: ip } },
      },
    },
    networks: { test: { external: true } },
  };
  const input = JSON.stringify(project);
  return machine.sh(`docker compose -p ${name} -f - ${args.join(' ')}`, { input, timeoutMs: 120_000 });
}
