import { expect } from 'chai';
import { pingAll } from '../support/crash.ts';
import { daemonLog } from '../support/daemon-log.ts';
import type { Lab } from '../support/lab.ts';
import { until } from '../support/poll.ts';
import {
  clearPools,
  createOn,
  everywhere,
  ipamSays,
  rackLab,
  refusedCreate,
  refusedLanius,
  refusedRun,
  runOn,
  showPool,
  threeOf,
} from '../support/rack-lab.ts';
import { need } from '../support/require.ts';

const POOL = ['--ipam-opt', 'pool=prod'];

describe('e2e/pools that change, on three engines', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await rackLab();
  });
  after(() => lab?.down());
  afterEach(() => clearPools(lab));

  const add = (subnet: string, ...args: readonly string[]) =>
    threeOf(lab)[0].lanius('pool', 'add', 'prod', '--subnet', subnet, ...args);
  const set = (...args: readonly string[]) => threeOf(lab)[0].lanius('pool', 'set', 'prod', ...args);

  it('limits each host to its quota, which can be changed online', async () => {
    await add('10.81.6.0/24', '--quota', '2');
    await everywhere(lab, async (machine) => {
      await createOn(machine, 'test', ...POOL);
      const outcomes = await Promise.allSettled(['aa', 'bb', 'cc', 'dd'].map((name) => runOn(machine, name)));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.length(2);
      const text = `pool 10.81.6.0/24: host ${machine.name} has its quota of 2 addresses: remove containers here, or raise it with lanius pool set (exhausted, req ID)`;
      expect(await refusedRun(machine)).to.equal(ipamSays(machine, text));
    });
    await set('--quota', '3');
    await everywhere(lab, async (machine) => {
      await runOn(machine, 'ee');
      expect(await refusedRun(machine)).to.contain('has its quota of 3 addresses');
    });
    await set('--no-quota');
    await everywhere(lab, (machine) => runOn(machine, 'ff'));
  });

  it('grows online, and shrinks without taking an address away', async () => {
    const [one, two, three] = threeOf(lab);
    await add('10.81.7.0/24', '--gateway', '10.81.7.1', '--range', '10.81.7.16-10.81.7.18,name=old');
    await lab.outside.exec(['ip', 'addr', 'add', '10.81.7.1/24', 'dev', 'eth0']);
    await everywhere(lab, (machine) => createOn(machine, 'test', ...POOL));
    const old = await everywhere(lab, (machine) => runOn(machine, 'aa'));
    expect(old).to.have.members(['10.81.7.16', '10.81.7.17', '10.81.7.18']);
    expect(await refusedRun(two)).to.contain('0 of 3 addresses from 10.81.7.16 to 10.81.7.18 are free');

    await set('--add-range', '10.81.7.64-10.81.7.66');
    expect(await runOn(two, 'bb')).to.match(/^10\.81\.7\.6[456]$/);

    const pings = await pingAll(
      lab.outside,
      old.map((ip) => [ip, 10]),
    );
    await set('--rm-range', 'old');
    expect((await showPool(three, 'prod')).draining).to.equal(3);
    expect(String(await three.lanius('pool', 'show', 'prod'))).to.match(/^Draining: +3$/m);
    await everywhere(lab, (machine) => machine.docker('exec', 'aa', 'ping', '-c1', '-W5', '10.81.7.1'));
    // Nothing is given out of the old range, though everything else is taken.
    await Promise.all([runOn(one, 'bb'), runOn(three, 'bb')]);
    const full = (elsewhere: number) =>
      `pool 10.81.7.0/24 is exhausted: 0 of 3 addresses from 10.81.7.64 to 10.81.7.66 are free, 3 are taken; ${elsewhere} more are free in parts of the pool that are excluded or for others: remove containers or change the ranges (exhausted, req ID)`;
    await everywhere(lab, async (machine) =>
      expect(await refusedRun(machine)).to.equal(ipamSays(machine, full(247))),
    );
    expect(await pings.expectNoLoss()).to.be.greaterThan(0);

    await everywhere(lab, (machine) => machine.docker('rm', '-f', 'aa'));
    await until('all is drained', async () => (await showPool(one, 'prod')).draining === 0);
    await everywhere(lab, async (machine) =>
      expect(await refusedRun(machine)).to.equal(ipamSays(machine, full(250))),
    );
    await set('--add-exclude', '10.81.7.64/31');
    expect((await showPool(one, 'prod')).draining).to.equal(2);
  });

  it('lets a released address rest while others are free, and says so when it cannot', async () => {
    const subnets = ['10.81.8.0/28', '10.81.8.16/28', '10.81.8.32/28'];
    const [first] = threeOf(lab);
    for (const [i, subnet] of subnets.entries()) {
      const range = `10.81.8.${16 * i + 4}/30`;
      const args = ['--subnet', subnet, '--range', range, '--cooling', '10m'];
      await first.lanius('pool', 'add', `c${i}`, ...args);
    }
    await everywhere(lab, async (machine, i) => {
      const network = { network: 'test' };
      // Released on one machine, wanted on the next.
      const next = lab.machines[(i + 1) % 3] ?? machine;
      for (const [place, name] of [
        [machine, 'test'],
        [next, 'guest'],
      ] as const)
        await createOn(place, name, '--ipam-opt', `pool=c${i}`);
      const resting = await runOn(machine, 'aa', network);
      await machine.docker('rm', '-f', 'aa');
      expect((await showPool(machine, `c${i}`)).cooling).to.equal(1);
      const others: string[] = [];
      for (const name of ['xx', 'yy', 'zz']) others.push(await runOn(next, name, { network: 'guest' }));
      expect(new Set([...others, resting]).size).to.equal(4);
      const warned = async () =>
        (await daemonLog(next)).filter(
          (line) =>
            line.msg === 'the pool is short: addresses are given again before their cooling time is over' &&
            (line as { pool?: string }).pool === subnets[i],
        );
      expect(await warned()).to.deep.equal([]);
      expect(await runOn(next, 'ww', { network: 'guest' })).to.equal(resting);
      expect((await warned()).map(({ level }) => level)).to.deep.equal(['warn']);
    });
  });

  it('refuses pools that overlap, whoever makes them, also at once', async () => {
    const [one, two, three] = threeOf(lab);
    await add('10.81.9.0/24');
    expect(await refusedLanius(two, 'pool', 'add', 'other', '--subnet', '10.81.9.128/25')).to.contain(
      'subnet 10.81.9.128/25 overlaps pool prod (10.81.9.0/24): choose a subnet beside it',
    );
    expect(await refusedLanius(two, 'pool', 'add', 'other', '--subnet', '10.81.9.0/24')).to.contain(
      'subnet 10.81.9.0/24 is pool prod already: use that, or choose another subnet than for other',
    );
    expect(await refusedLanius(three, 'pool', 'add', 'prod', '--subnet', '10.81.10.0/24')).to.contain(
      'pool prod is 10.81.9.0/24, not 10.81.10.0/24: choose another name',
    );
    await everywhere(lab, async (machine) =>
      expect(await refusedCreate(machine, '--subnet', '10.81.8.0/23')).to.equal(
        'IpamDriver.RequestPool: subnet 10.81.8.0/23 overlaps pool prod (10.81.9.0/24), which is in use: choose that subnet itself (with --ip-range for a part of it), or one beside it (conflict, req ID)',
      ),
    );
    const subnets = ['10.81.10.0/24', '10.81.10.64/26', '10.81.8.0/22'];
    await one.lanius('pool', 'rm', 'prod');
    const outcomes = await everywhere(lab, (machine, i) =>
      machine.tryLanius('pool', 'add', `p${i}`, '--subnet', subnets[i] ?? ''),
    );
    expect(outcomes.filter(({ status }) => status === 0)).to.have.length(1);
    for (const { status, stderr } of outcomes)
      if (status !== 0) expect(stderr).to.contain(' overlaps pool p');
  });

  it('removes a pool only when nothing stands in it', async () => {
    const [one, two, three] = threeOf(lab);
    await add('10.81.11.0/24');
    await Promise.all([createOn(one, 'test', ...POOL), createOn(three, 'test', ...POOL)]);
    await runOn(one, 'aa');
    expect(await refusedLanius(two, 'pool', 'rm', 'prod')).to.contain(
      'pool prod has networks on 2 hosts (h1, h3), so it cannot be removed: remove them there first with docker network rm',
    );
    await one.docker('rm', '-f', 'aa');
    await Promise.all([one.docker('network', 'rm', 'test'), three.docker('network', 'rm', 'test')]);
    await two.lanius('ip', 'reserve', '10.81.11.20', 'db');
    expect(await refusedLanius(two, 'pool', 'rm', 'prod')).to.contain(
      'pool prod has 0 leases and 1 reservation, so it cannot be removed: see lanius ip ls --pool 10.81.11.0/24, and free them with lanius ip release or lanius ip unreserve',
    );
    await two.lanius('ip', 'unreserve', '10.81.11.20');
    await two.lanius('pool', 'rm', 'prod');
    expect(await refusedCreate(three, ...POOL)).to.contain('"prod"');
  });
});
