import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { FAILPOINTS, type Failpoint } from '../../core/failpoint.ts';
import {
  containerOf,
  crashLab,
  every10ms,
  exactSince,
  expectDistinct,
  expectKept,
  expectNetwork,
  leaseRevisions,
  onEach,
  type Pings,
  pingAll,
  runQuick,
  SUBNET,
} from '../support/crash.ts';
import { createNetwork, IMAGE, labConfig, removeAll, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

/** What passes a failpoint. */
type Deed = 'docker run' | 'docker rm' | 'docker network create';

const DEEDS: Readonly<Record<Failpoint, Deed>> = {
  'lease.before-commit': 'docker run',
  'lease.after-commit': 'docker run',
  'endpoint.before-record': 'docker run',
  'endpoint.after-record': 'docker run',
  'join.before-link': 'docker run',
  'join.after-link': 'docker run',
  'leave.after-undo': 'docker rm',
  'endpoint.before-link-delete': 'docker rm',
  'release.before-commit': 'docker rm',
  'release.after-commit': 'docker rm',
  'pool.after-record': 'docker network create',
  'network.after-record': 'docker network create',
};

describe('e2e/failpoints: kill -9 between every two effects', function () {
  this.timeout(300_000);
  let lab: Lab;
  let witnesses: string[];
  let pings: Pings;
  let revisions: Map<string, number>;
  const outcomes = new Map<Failpoint, Promise<string>>();

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab();
    await onEach(lab, (machine) => runQuick(machine, 'witness'));
    witnesses = await onEach(lab, async (machine) => (await containerOf(machine, 'witness')).ip);
    revisions = await leaseRevisions(lab);
    pings = await pingAll(lab.outside, every10ms(witnesses));
    // The failpoints go round over the engines; each machine does its own one after the other.
    for (const [index, machine] of lab.machines.entries()) {
      let before: Promise<unknown> = Promise.resolve();
      for (const name of FAILPOINTS.filter((_, i) => i % lab.machines.length === index)) {
        const outcome = before.then(() => crashAt(machine, name));
        outcomes.set(name, outcome);
        before = outcome.catch(() => recover(machine));
      }
    }
  });
  after(() => lab?.down());

  for (const name of FAILPOINTS) {
    it(`${name}, passed by ${DEEDS[name]}`, async () => {
      console.log(`      ${await outcomes.get(name)}`);
    });
  }

  it('a removal that a crash cut off leaves nothing, however long the daemon is away', async () => {
    await Promise.allSettled(outcomes.values());
    // 8 s: the engine repeats the lost call at 15 s; 17 s: it has given that call up and repeats the next one
    for (const awayMs of [8000, 17_000]) {
      await onEach(lab, async (machine) => {
        await runQuick(machine, 'victim');
        await machine.stopLanius();
        await machine.startLanius(undefined, { LANIUS_FAILPOINT: 'endpoint.before-link-delete=kill' });
        let ended = 0;
        const removal = machine.tryDocker('rm', '-f', 'victim').finally(() => {
          ended = performance.now();
        });
        await sleep(awayMs);
        await machine.stopLanius('SIGKILL');
        await machine.startLanius();
        const returned = performance.now();
        expect(await removal).to.include({ status: 0 });
        // until the engine has done with the removal it still uses what it removes
        await exactSince(machine, Math.max(returned, ended));
        const sinceReturnMs = Math.round(performance.now() - returned);
        console.log(
          `      ${machine.engine}: away ${awayMs} ms, exact ${sinceReturnMs} ms after the return, ` +
            `${Math.round(performance.now() - ended)} ms after the removal`,
        );
      });
    }
  });

  it('living containers kept their traffic and their leases all the time', async () => {
    await Promise.allSettled(outcomes.values());
    console.log(`      ${await pings.expectNoLoss()} packets, 0 lost`);
    await expectKept(lab, revisions, witnesses);
    await expectDistinct(lab);
  });

  it('nothing of any crash is left in etcd when containers and networks are gone', async () => {
    await onEach(lab, async (machine) => {
      await removeAll(machine);
      await machine.sh('docker network rm $(docker network ls -q --filter driver=lanius) >/dev/null');
      await machine.stopLanius();
      await machine.startLanius(labConfig(lab, { reconcile: { pendingGraceSeconds: 1 } }));
    });
    const left = async (): Promise<string[]> => {
      await onEach(lab, (machine) => machine.lanius('reconcile'));
      const keys = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/');
      return keys.split('\n').filter((key) => key !== '' && !/\/(hosts|sessions|poolset)/.test(key));
    };
    await until('etcd is empty', async () => (await left()).length === 0, { timeoutMs: 30_000 }).catch(
      async () => expect(await left()).to.deep.equal([]),
    );
  });

  /** Kills the daemon at one point and looks at the world after its return. @returns what came of the command */
  async function crashAt(machine: Machine, name: Failpoint): Promise<string> {
    await runQuick(machine, 'victim');
    const standing = await running(machine);
    await machine.stopLanius();
    const died = (log: string): number => log.split(`failpoint ${name}: killed\n`).length - 1;
    expect(died(await machine.log('lanius'))).to.equal(0);
    await machine.startLanius(undefined, { LANIUS_FAILPOINT: `${name}=kill` });

    const command = doIt(machine, name);
    await until(`the daemon passes ${name}`, async () => died(await machine.log('lanius')) === 1, {
      timeoutMs: 20_000,
    });
    await machine.stopLanius('SIGKILL'); // dead already: waits until it is gone
    await machine.startLanius();
    const returned = performance.now();
    const tookMs = await exactSince(machine, returned);
    const { status, stderr } = await command;

    const now = await running(machine);
    const still = standing.filter((one) => DEEDS[name] !== 'docker rm' || one.name !== 'victim');
    expect(now).to.deep.include.members(still);
    await runQuick(machine, 'next');
    await expectNetwork(machine, 'next');
    await expectNetwork(machine, 'witness');
    if (DEEDS[name] === 'docker network create') await useNetwork(machine, name, status);
    await machine.sh('docker rm -f victim next deed >/dev/null 2>&1 || true');
    await exactSince(machine, performance.now());
    const said = status === 0 ? 'succeeded' : `failed: ${stderr.trim().split('\n')[0]}`;
    return `${machine.engine}: exact ${tookMs} ms after the return; ${DEEDS[name]} ${said}`;
  }

  function doIt(machine: Machine, name: Failpoint): ReturnType<Machine['tryDocker']> {
    if (DEEDS[name] === 'docker rm') return machine.tryDocker('rm', '-f', 'victim');
    if (DEEDS[name] === 'docker network create') {
      return createNetwork(machine, networkFor(name)).then(
        (stdout) => ({ status: 0, stdout, stderr: '' }),
        (error: Error) => ({ status: 1, stdout: '', stderr: error.message }),
      );
    }
    return machine.tryDocker(
      'run',
      '-d',
      '--name',
      'deed',
      '--network',
      SUBNET.name,
      IMAGE,
      'sleep',
      '100000',
    );
  }

  /** The same network again must be possible, and give addresses. */
  async function useNetwork(machine: Machine, name: Failpoint, status: number): Promise<void> {
    const network = networkFor(name);
    if (status !== 0) await createNetwork(machine, network);
    await machine.docker('run', '--rm', '--network', network.name, IMAGE, 'true');
    await machine.docker('network', 'rm', network.name);
  }

  async function recover(machine: Machine): Promise<void> {
    await machine.stopLanius('SIGKILL');
    await machine.startLanius();
    await machine.sh('docker rm -f victim next deed >/dev/null 2>&1 || true');
  }
});

function networkFor(name: Failpoint): {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
} {
  const third = 32 + FAILPOINTS.indexOf(name);
  return { name: name.replace('.', '-'), subnet: `10.77.${third}.0/24`, gateway: `10.77.${third}.1` };
}
