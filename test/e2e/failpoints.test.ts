import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { FAILPOINT_NAMES, FAILPOINTS, type Failpoint } from '../../core/failpoint.ts';
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
} from '../support/crash.ts';
import { clearUp, SCENARIOS, type Scene } from '../support/failpoint-scenarios.ts';
import { labConfig, removeAll, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { leftKeys } from '../support/left-keys.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

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
      for (const name of FAILPOINT_NAMES.filter((_, i) => i % lab.machines.length === index)) {
        const outcome = before.then(() => crashAt({ lab, machine, name }));
        outcomes.set(name, outcome);
        before = outcome.catch(() => recover({ lab, machine, name }));
      }
    }
  });
  after(() => lab?.down());

  for (const name of FAILPOINT_NAMES) {
    it(`${name}, passed by ${FAILPOINTS[name].passedBy}`, async () => {
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
      await onEach(lab, (machine) => machine.askLanius('reconcile'));
      return leftKeys(lab);
    };
    await until('etcd is empty', async () => (await left()).length === 0, { timeoutMs: 30_000 }).catch(
      async () => expect(await left()).to.deep.equal([]),
    );
  });

  /** Kills the daemon at one point and looks at the world after its return. @returns what came of the command */
  async function crashAt(scene: Scene): Promise<string> {
    const { machine, name } = scene;
    const { prepare, deed, mend, returned, confirm, removes } = SCENARIOS[name];
    await runQuick(machine, 'victim');
    await prepare?.(scene);
    const standing = await running(machine);
    await machine.stopLanius();
    const died = (log: string): number => log.split(`failpoint ${name}: killed\n`).length - 1;
    expect(died(await machine.log('lanius'))).to.equal(0);
    await machine.startLanius(undefined, { LANIUS_FAILPOINT: `${name}=kill` });

    const command = deed(scene);
    await until(`the daemon passes ${name}`, async () => died(await machine.log('lanius')) === 1, {
      timeoutMs: 60_000,
    });
    await machine.stopLanius('SIGKILL'); // dead already: waits until it is gone
    await mend?.(scene);
    await machine.startLanius();
    const returnedAt = performance.now();
    await returned?.(scene);
    const tookMs = await exactSince(machine, returnedAt);
    const outcome = await command;

    const now = await running(machine);
    expect(now).to.deep.include.members(standing.filter((one) => !removes || one.name !== 'victim'));
    await runQuick(machine, 'next');
    await expectNetwork(machine, 'next');
    await expectNetwork(machine, 'witness');
    await confirm?.(scene, outcome);
    await clearUp(scene);
    await exactSince(machine, performance.now());
    const { status, stderr } = outcome;
    const said = status === 0 ? 'succeeded' : `failed: ${stderr.trim().split('\n')[0]}`;
    return `${machine.engine}: exact ${tookMs} ms after the return; ${FAILPOINTS[name].passedBy} ${said}`;
  }

  async function recover(scene: Scene): Promise<void> {
    await scene.machine.stopLanius('SIGKILL');
    await scene.machine.startLanius();
    await clearUp(scene);
  }
});
