/** A host refuses what its NIC cannot carry, and limits that cannot be read, with one line that says why; three engines. */
import { expect } from 'chai';
import { onEach } from '../support/crash.ts';
import { flatLab, IMAGE, removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import type { RunResult } from '../support/run.ts';

const LIMIT = ['-e', 'net_in=100mbit', '-e', 'net_out=100mbit'];

describe('e2e/admission, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    const capacity = { eth0: { in: '1gbit', out: '1gbit' } };
    lab = await flatLab({ config: { throttle: { admission: true, capacity, wishTimeoutMs: 5000 } } });
  });
  after(() => lab?.down());

  it('refuses the eleventh container of 100mbit on 1gbit, by its environment alone, with the reason code', async () => {
    await onEach(lab, async (machine) => {
      const names = Array.from({ length: 10 }, (_, index) => `c${index}`);
      const started = await Promise.all(names.map((name) => run(machine, name, LIMIT)));
      expect(started.map(({ stderr }) => stderr).join('')).to.equal('');
      const refused = await run(machine, 'eleventh', LIMIT);
      expect(refused.status).to.equal(125);
      expect(refused.stderr).to.match(
        new RegExp(
          `parent eth0 of host ${machine.name} has not the bandwidth for net_in: capacity 1gbit, committed 1gbit, asked 100mbit: ` +
            'start it on another host, lower net_in, or stop a container \\(bandwidth_exhausted, req [0-9a-f]+\\)',
        ),
      );
    });
  });

  it('starts what asks nothing, and sees freed bandwidth at once', async () => {
    await onEach(lab, async (machine) => {
      expect(await run(machine, 'modest', [])).to.include({ status: 0 });
      await machine.docker('rm', '-f', 'c0', 'eleventh');
      expect(await run(machine, 'twelfth', LIMIT)).to.include({ status: 0 });
    });
  });

  it('gives the last share to one of two that start at once', async () => {
    await onEach(lab, async (machine) => {
      await machine.docker('rm', '-f', 'c1');
      const both = await Promise.all(['one', 'two'].map((name) => run(machine, name, LIMIT)));
      expect(both.map(({ status }) => status)).to.have.members([0, 125]);
      expect(both.map(({ stderr }) => stderr).join('')).to.contain('bandwidth_exhausted');
    });
  });

  it('counts right after a restart of the daemon', async () => {
    await onEach(lab, async (machine) => {
      await machine.restartLanius('SIGKILL');
      await until(
        'it counts',
        async () => {
          await machine.docker('rm', '-f', 'late').catch(() => {});
          return (await run(machine, 'late', LIMIT)).stderr.includes('committed 1gbit');
        },
        { timeoutMs: 20_000 },
      );
      await removeAll(machine);
    });
  });

  it('refuses limits that cannot be read, wherever they are said, and starts nothing', async () => {
    await onEach(lab, async (machine) => {
      const long = 'x'.repeat(10_000);
      for (const [flags, text] of [
        [['-e', 'net_in=10mbps'], 'env net_in: rate "10mbps" may mean bits or bytes a second'],
        [['-e', 'net_in=-5'], 'env net_in: rate "-5" is no number with a unit'],
        [['-e', 'net_out=1e9'], 'env net_out: rate "1e9"'],
        [['-e', 'NET_OUT=abc'], 'env NET_OUT: rate "abc" is no number with a unit'],
        [['-e', `net_in=${long}`], 'env net_in: rate "xxxx'],
        [['-e', 'net_in=10mbit 20mbit'], 'env net_in: rate "10mbit 20mbit" is no number with a unit'],
        [
          ['--label', 'lanius.net_in=10mbitkbit'],
          'label lanius.net_in: rate "10mbitkbit" has the unknown unit mbitkbit',
        ],
      ] as const) {
        const refused = await run(machine, 'bad', flags);
        expect(refused.status, flags.join(' ').slice(0, 60)).to.equal(125);
        expect(refused.stderr).to.contain(text);
        expect(refused.stderr.length).to.be.below(1000);
        await machine.docker('rm', '-f', 'bad');
      }
      expect(await run(machine, 'good', ['-e', 'net_in=0', '-e', 'net_out='])).to.include({ status: 0 });
      const words = [
        'network',
        'create',
        '-d',
        'lanius',
        '--ipam-driver',
        'lanius',
        '--subnet',
        '10.91.0.0/24',
      ];
      const network = await machine.tryDocker(...words, '-o', 'parent=eth0', '-o', 'net_out=5mbps', 'bad');
      expect(network.stderr).to.contain('rate "5mbps" may mean bits or bytes a second');
      const enforced = await machine.tryDocker(...words, '-o', 'parent=eth0', '-o', 'enforce=host', 'bad');
      expect(enforced.stderr).to.contain('macvlan_mode');
    });
  });

  function run(machine: Machine, name: string, flags: readonly string[]): Promise<RunResult> {
    return machine.tryDocker(
      'run',
      '-d',
      '--name',
      name,
      '--network',
      'flat',
      ...flags,
      IMAGE,
      'sleep',
      '100000',
    );
  }
});
