import { type ChildProcess, spawn } from 'node:child_process';
import { expect } from 'chai';
import type { Asked } from '../support/asking-plugin.ts';
import { distFolder } from '../support/checkout.ts';
import { createNetwork, IMAGE, labConfig, removeAll, THREE } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const DAEMON_SOCKET = '/run/lanius/plugin.sock';
const PLUGIN_SOCKET = '/run/docker/plugins/lanius.sock';
/** The daemon will wait less; here it is seen what it needs. */
/** Patient, for a busy machine: the figures are printed. */
const TIMEOUT_MS = 10_000;
const AT_ONCE = 12;

describe('e2e/whose endpoint is it, asked inside of Join, on three engines', function () {
  this.timeout(240_000);
  let lab: Lab;
  const askers = new Map<Machine, { readonly child: ChildProcess; readonly lines: Asked[] }>();

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await Lab.up(THREE);
    process.env['LANIUS_PLUGIN_SOCKET'] = DAEMON_SOCKET;
    for (const machine of lab.machines) {
      await machine.startLanius(labConfig(lab, { docker: { pluginSocket: DAEMON_SOCKET } }));
      await machine.sh('mkdir -p /run/docker/plugins');
      startAsker(machine);
    }
    await Promise.all(lab.machines.map((machine) => machine.startEngine()));
    await Promise.all(
      lab.machines.map((machine) =>
        createNetwork(machine, { subnet: '10.77.37.0/24', gateway: '10.77.37.1' }),
      ),
    );
  });
  after(() => {
    delete process.env['LANIUS_PLUGIN_SOCKET'];
    for (const { child } of askers.values()) child.kill('SIGTERM');
    lab?.down();
  });

  function startAsker(machine: Machine): void {
    const program = `${distFolder}/test/support/asking-plugin.js`;
    const words = ['node', program, PLUGIN_SOCKET, DAEMON_SOCKET, '/var/run/docker.sock', String(TIMEOUT_MS)];
    const [command = '', ...rest] = machine.command(words);
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: Asked[] = [];
    let left = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const all = `${left}${text}`.split('\n');
      left = all.pop() ?? '';
      lines.push(...all.map((line) => JSON.parse(line) as Asked));
    });
    askers.set(machine, { child, lines });
  }

  const linesOf = (machine: Machine): Asked[] => askers.get(machine)?.lines ?? [];
  const run = (machine: Machine, name: string, ...words: readonly string[]): Promise<string> =>
    machine.docker('run', '-d', '--name', name, '--network', 'flat', ...words, IMAGE, 'sleep', '100000');
  /** The first start of an engine may find its API busy; the daemon asks again, here the first one is left out. */
  const warm = async (machine: Machine): Promise<void> => {
    await until('the first answer', async () => {
      await machine.docker('run', '--rm', '--network', 'flat', IMAGE, 'true');
      return linesOf(machine).some(({ containerId }) => containerId !== undefined);
    });
    linesOf(machine).length = 0;
  };

  it('finds name, environment, labels and rights, before the link is made', async () => {
    for (const machine of lab.machines) {
      await warm(machine);
      const plain = await run(machine, 'web.1', '-e', 'net_in=10mbit', '-l', 'lanius.net_out=5mbit');
      const admin = await run(machine, 'adm', '--cap-add', 'NET_ADMIN');
      const empty = await run(machine, 'none', '--cap-drop', 'ALL', '-e', 'net_in=');
      const lines = linesOf(machine);
      expect(
        lines.map((line) => ({ ...line, ms: 0 })),
        machine.engine,
      ).to.deep.equal([
        { ms: 0, containerId: plain, name: 'web.1', netAdmin: false, netIn: '10mbit', netOut: '5mbit' },
        { ms: 0, containerId: admin, name: 'adm', netAdmin: true },
        { ms: 0, containerId: empty, name: 'none', netAdmin: false, netIn: '' },
      ]);
      console.log(`      ${machine.engine}: ${lines.map(({ ms }) => ms).join(', ')} ms`);
      await removeAll(machine);
    }
  });

  it('finds it also for a container that is started again, and for one that is connected while it runs', async () => {
    for (const machine of lab.machines) {
      await machine.docker(
        'run',
        '-d',
        '--name',
        'late',
        '--network',
        'none',
        '-e',
        'net_in=7mbit',
        IMAGE,
        'sleep',
        '100000',
      );
      await machine.docker('network', 'disconnect', 'none', 'late');
      linesOf(machine).length = 0;
      await machine.docker('network', 'connect', 'flat', 'late');
      await machine.docker('restart', '-t', '0', 'late');
      const found = linesOf(machine).map(({ name, netIn }) => ({ name, netIn }));
      expect(found, machine.engine).to.deep.equal([
        { name: 'late', netIn: '7mbit' },
        { name: 'late', netIn: '7mbit' },
      ]);
      console.log(
        `      ${machine.engine}: ${linesOf(machine)
          .map(({ ms }) => ms)
          .join(', ')} ms`,
      );
      await removeAll(machine);
    }
  });

  it('holds nothing up while an engine restores its containers at its start, and finds again after', async () => {
    for (const machine of lab.machines) {
      await run(machine, 'always', '--restart', 'always', '-e', 'net_in=7mbit');
      await machine.stopEngine('SIGKILL');
      linesOf(machine).length = 0;
      await machine.startEngine();
      await until('the container to be back', async () => {
        const state = await machine.docker('inspect', '-f', '{{.State.Running}}', 'always');
        return state === 'true' && linesOf(machine).length > 0;
      });
      const [restored] = linesOf(machine);
      // It was not asked at all: not even on a busy machine does that take half of the limit.
      if (restored?.containerId === undefined) expect(restored?.ms).to.be.below(TIMEOUT_MS / 2);
      await warm(machine);
      await run(machine, 'next', '-e', 'net_in=8mbit');
      const [next] = linesOf(machine);
      expect(next, machine.engine).to.include({ name: 'next', netIn: '8mbit' });
      const known = restored?.containerId === undefined ? 'not known' : 'known';
      console.log(
        `      ${machine.engine}: restored: ${known} after ${restored?.ms} ms; then ${next?.ms} ms`,
      );
      await removeAll(machine);
    }
  });

  it(`finds each of ${AT_ONCE} that start at once`, async () => {
    for (const machine of lab.machines) {
      linesOf(machine).length = 0;
      const names = Array.from({ length: AT_ONCE }, (_, index) => `c${index + 1}`);
      await Promise.all(names.map((name) => run(machine, name, '-e', `net_in=${name.slice(1)}mbit`)));
      const lines = linesOf(machine);
      expect(lines.map(({ name }) => name)).to.have.members(names);
      for (const { name, netIn } of lines) expect(netIn).to.equal(`${name?.slice(1)}mbit`);
      const ms = lines.map((line) => line.ms).sort((a, b) => a - b);
      console.log(`      ${machine.engine}: median ${ms[AT_ONCE / 2]} ms, most ${ms.at(-1)} ms`);
      await removeAll(machine);
    }
  });
});
