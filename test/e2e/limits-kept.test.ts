/** Limits come back when something undoes them, hold wherever a container is attached, and stand through restarts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import { onEach } from '../support/crash.ts';
import { plugCable } from '../support/extra-cable.ts';
import { exact, flatLab, IMAGE, removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { expectRates, linkWith, shIn, startLimited } from '../support/limited.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { type Sandbox, sandboxOf } from '../support/sandboxes.ts';
import { qdiscsIn, ratesIn, startSink } from '../support/shapers.ts';

const MBIT = 1e6;
const PORT = 9000;
const QUIET = process.env['QUIET'] === '1';

describe('e2e/limits kept, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    // Patient with the engine of a busy machine.
    const config = { throttle: { wishTimeoutMs: 5000 } };
    lab = await flatLab({ engineFlags: ['--live-restore'], config });
  });
  after(() => lab?.down());
  afterEach(() => onEach(lab, removeAll));

  it('come back when a container with NET_ADMIN undoes them, which is told', async () => {
    await onEach(lab, async (machine) => {
      const flags = ['--cap-add', 'NET_ADMIN', '-e', 'net_in=20mbit', '-e', 'net_out=20mbit'];
      const sandbox = await startLimited(machine, 'rogue', flags);
      const both = { in: 20 * MBIT, out: 20 * MBIT };
      await expectRates(sandbox, both);
      for (const [what, script] of [
        ['qdisc', 'tc qdisc del dev eth0 root'],
        ['filter', 'tc filter del dev eth0 ingress'],
        ['clsact', 'tc qdisc del dev eth0 clsact'],
        ['rate', 'tc qdisc replace dev eth0 root tbf rate 5gbit burst 1mb limit 2mb'],
        ['ifb', "ip link del $(ip -o link show type ifb | cut -d: -f2 | tr -d ' ')"],
      ] as const) {
        await shIn(sandbox, script);
        const undoneAt = performance.now();
        await until(
          `the ${what} is back`,
          async () => isDeepStrictEqual(await ratesIn(sandbox), both) && (await redirects(sandbox)),
          {
            timeoutMs: QUIET ? 2000 : 15_000,
            intervalMs: 20,
          },
        );
        console.log(
          `      ${machine.engine}: ${what} back after ${(performance.now() - undoneAt).toFixed(0)} ms`,
        );
      }
      await shIn(sandbox, 'ip link add link eth0 name sly type macvlan mode bridge');
      await until(
        'the link beside the limit is gone',
        async () => !(await shIn(sandbox, 'ip -o link')).includes('sly'),
        {
          timeoutMs: QUIET ? 2000 : 15_000,
        },
      );
      const doctor = JSON.stringify(
        await machine.lanius('doctor', '-o', 'json').catch((error: Error) => error.message),
      );
      expect(doctor).to.contain('rogue');
      expect(doctor).to.contain('NET_ADMIN');
    });
  });

  it('hold on a second network, after docker network connect, and in mode bridge out of reach, and leave nothing', async () => {
    await onEach(lab, async (machine) => {
      await plugCable(machine, 'eth1');
      const words = ['-d', 'lanius', '--ipam-driver', 'lanius'];
      const second = ['--subnet', '10.92.0.0/24', '-o', 'parent=eth0', '-o', 'net_out=40mbit'];
      await machine.docker('network', 'create', ...words, ...second, 'second');
      const bridged = ['--subnet', '10.93.0.0/24', '-o', 'parent=eth1', '-o', 'mode=bridge'];
      await machine.docker('network', 'create', ...words, ...bridged, 'bridged');
      const sandbox = await startLimited(machine, 'two', ['-e', 'net_out=30mbit']);
      await machine.docker('network', 'connect', 'second', 'two');
      await expectRates(sandbox, { out: 30 * MBIT });
      await expectRates(sandbox, { out: 30 * MBIT }, await linkWith(sandbox, '10.92.'));
      await machine.docker('network', 'disconnect', 'second', 'two');

      const limits = ['-e', 'net_in=50mbit', '-e', 'net_out=20mbit'];
      const inside = ['run', '-d', '--name', 'br', '--network', 'bridged', ...limits, IMAGE, 'sleep', '1000'];
      await machine.docker(...inside);
      const host = { command: (command: readonly string[]) => machine.command(command) };
      const hostRates = async (): Promise<number[]> =>
        (await qdiscsIn(host)).flatMap(({ kind, options }) =>
          kind === 'tbf' ? [(options?.rate ?? 0) * 8] : [],
        );
      await until(
        'both are shaped on the side of the host',
        async () =>
          isDeepStrictEqual(await hostRates(), [50 * MBIT, 20 * MBIT]) ||
          isDeepStrictEqual(await hostRates(), [20 * MBIT, 50 * MBIT]),
      );
      expect(await ratesIn(await sandboxOf(machine, 'br'))).to.deep.equal({});
      await removeAll(machine);
      await machine.docker('network', 'rm', 'second', 'bridged');
      await exact(machine);
      expect(await hostRates()).to.deep.equal([]);
      const leaks = (await machine.lanius('doctor', '--leaks', '-o', 'json')) as { ok: boolean };
      expect(leaks.ok).to.equal(true);
    });
  });

  it('hold on the side of the host (enforce=host) whatever a container with NET_ADMIN does, and leave nothing', async () => {
    const machine = lab.machine('h3');
    await plugCable(machine, 'eth2');
    const words = ['-d', 'lanius', '--ipam-driver', 'lanius', '--subnet', '10.94.0.0/24'];
    const options = ['-o', 'parent=eth2', '-o', 'macvlan_mode=private', '-o', 'enforce=host'];
    await machine.docker('network', 'create', ...words, ...options, 'guarded');
    const flags = ['--cap-add', 'NET_ADMIN', '-e', 'net_out=50mbit', '-e', 'net_in=50mbit'];
    await machine.docker(
      'run',
      '-d',
      '--name',
      'guarded',
      '--network',
      'guarded',
      ...flags,
      IMAGE,
      'sleep',
      '1000',
    );
    const sandbox = await sandboxOf(machine, 'guarded');
    await shIn(sandbox, 'ip route add 10.77.0.2/32 dev eth0');
    await lab.outside.exec(['ip', 'route', 'add', '10.94.0.0/24', 'dev', 'eth0']);
    await shIn(
      sandbox,
      'tc qdisc replace dev eth0 root pfifo; tc qdisc del dev eth0 clsact 2>/dev/null; true',
    );
    const endSink = await startSink(lab.outside, PORT);
    try {
      const [before, began] = [await sent(sandbox), performance.now()];
      await machine.docker(
        'exec',
        'guarded',
        'sh',
        '-c',
        `timeout 3 nc 10.77.0.2 ${PORT} </dev/zero >/dev/null 2>&1; true`,
      );
      const bits = ((await sent(sandbox)) - before) * 8;
      const share = bits / ((performance.now() - began) / 1000) / (50 * MBIT);
      console.log(`      achieved/asked ${share.toFixed(3)}`);
      expect(share).to.be.within(0.3, 1.05);
    } finally {
      endSink();
    }
    await removeAll(machine);
    await machine.docker('network', 'rm', 'guarded');
    await until('nothing is left', async () => !(await machine.sh('tc qdisc show dev eth2')).includes('htb'));
    const leaks = (await machine.lanius('doctor', '--leaks', '-o', 'json')) as { ok: boolean };
    expect(leaks.ok).to.equal(true);
  });

  it('stand through restarts of daemon and engine (live-restore)', async () => {
    await onEach(lab, async (machine) => {
      const sandbox = await startLimited(machine, 'stands', ['-e', 'net_in=15mbit', '-e', 'net_out=25mbit']);
      await expectRates(sandbox, { in: 15 * MBIT, out: 25 * MBIT });
      const before = JSON.stringify(await qdiscsIn(sandbox));
      await machine.restartLanius();
      await machine.stopEngine('SIGKILL');
      await machine.startEngine('--live-restore');
      await machine.restartLanius('SIGKILL');
      await sleep(1500);
      expect(JSON.stringify(await qdiscsIn(sandbox))).to.equal(before);
    });
  });
});

async function sent(sandbox: Sandbox): Promise<number> {
  return Number(await shIn(sandbox, 'cat /proc/self/net/dev | sed -n "s/^ *eth0://p" | awk \'{print $9}\''));
}

async function redirects(sandbox: Sandbox): Promise<boolean> {
  return (await shIn(sandbox, 'tc filter show dev eth0 ingress')).includes('mirred');
}
