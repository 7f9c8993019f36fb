import { expect } from 'chai';
import { refusal } from '../support/docker-words.ts';
import { exact, flatLab, IMAGE, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { type Ping, startPing } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { switchCable } from '../support/switch-cable.ts';

/** What a user waits at most for the refusal of a `docker run`. */
const REFUSED_WITHIN_MS = 5000;
/** How much longer than usual the first container takes after etcd's return. */
const BACK_WITHIN_MS = 2000;

describe('e2e/etcd away, on three engines', function () {
  this.timeout(180_000);
  let lab: Lab;
  let machines: readonly Machine[];

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab({ subnet: '10.77.32.0/24', gateway: '10.77.32.1' });
    machines = lab.machines;
    await everywhere((machine) => start(machine, 'keep'));
  });
  after(() => lab?.down());
  afterEach(async () => {
    // Also after a failure: the next test begins with an etcd that is there.
    await lab.etcd.thaw();
    await lab.etcd.start();
    await switchCable('ext', 'up');
    await leaveNothing();
  });

  /** Like Promise.all, but nothing is still running when it rejects. */
  const everywhere = async <T>(work: (machine: Machine, index: number) => Promise<T>): Promise<T[]> => {
    const all = machines.map(work);
    await Promise.allSettled(all);
    return Promise.all(all);
  };
  const start = (machine: Machine, name: string): Promise<string> =>
    machine.docker('run', '-d', '--name', name, '--network', 'flat', IMAGE, 'sleep', '100000');

  const leaveNothing = async (): Promise<void> => {
    await everywhere((machine) => machine.tryDocker('rm', '-f', 'gone', 'late', 'back'));
  };
  /** One ping from each machine's container to the next machine's, every 10 ms. */
  const pingAround = async (): Promise<Ping[]> => {
    const targets = await everywhere(async (machine) => {
      const keep = (await running(machine)).find(({ name }) => name === 'keep');
      return keep?.ip ?? '';
    });
    return everywhere(async (machine, index) =>
      startPing(await machine.sandbox('keep'), targets[(index + 1) % targets.length] ?? '', 10),
    );
  };
  const expectNoneLost = async (pings: readonly Ping[]): Promise<void> => {
    for (const count of await Promise.all(pings.map((ping) => ping.stop()))) {
      expect(count).to.include({ lost: 0 });
      expect(count.sent).to.be.greaterThan(200);
    }
  };

  /** `docker run` fails soon and names etcd. */
  const expectRefusal = (): Promise<number[]> =>
    everywhere(async (machine) => {
      const began = performance.now();
      const said = await machine.tryDocker('run', '--name', 'late', '--network', 'flat', IMAGE, 'true');
      const tookMs = Math.round(performance.now() - began);
      const words = refusal(said);
      await machine.tryDocker('rm', '-f', 'late');
      expect(words, machine.engine).to.match(
        /IpamDriver\.RequestAddress: etcd .*does not answer.*: check that etcd runs and is reachable \(lanius doctor\)(; nothing was changed|; the outcome is unknown and will be undone)? \(store, req ID\)$/,
      );
      expect(tookMs, `${machine.engine}: ${words}`).to.be.lessThan(REFUSED_WITHIN_MS);
      return tookMs;
    });

  /** From now on, when has each machine run a container? */
  const timeOfRun = (): Promise<number[]> => {
    const began = performance.now();
    return everywhere(async (machine) => {
      await until(`docker run on ${machine.name}`, async () => {
        const run = await machine.tryDocker('run', '--name', 'back', '--network', 'flat', IMAGE, 'true');
        await machine.tryDocker('rm', '-f', 'back');
        return run.status === 0;
      });
      return Math.round(performance.now() - began);
    });
  };

  /** Everything goes on soon after etcd's return, and the leases are exact. */
  const expectReturn = async (back: () => Promise<unknown>, said: string): Promise<void> => {
    await back();
    const first = await timeOfRun();
    const usual = await timeOfRun();
    console.log(
      `      ${said}; then a first run took ${first.join(', ')} ms, a second ${usual.join(', ')} ms`,
    );
    for (const [i, tookMs] of first.entries())
      expect(tookMs - (usual[i] ?? 0)).to.be.lessThan(BACK_WITHIN_MS);
    await everywhere((machine) => exact(machine));
  };

  const absences: readonly (readonly [string, () => Promise<unknown>, () => Promise<unknown>])[] = [
    ['is killed', () => lab.etcd.kill(), () => lab.etcd.start()],
    ['is frozen', () => lab.etcd.freeze(), () => lab.etcd.thaw()],
    ['has lost its cable', () => switchCable('ext', 'down'), () => switchCable('ext', 'up')],
  ];
  for (const [what, away, back] of absences) {
    it(`${what}: containers talk on, new ones fail in 5 s with the reason, docker rm works, all goes on by itself`, async () => {
      await everywhere((machine) => start(machine, 'gone'));
      const pings = await pingAround();
      await away();
      const refused = await expectRefusal();
      const removed = await everywhere(async (machine) => {
        const began = performance.now();
        await machine.docker('rm', '-f', 'gone');
        return Math.round(performance.now() - began);
      });
      await expectReturn(back, `refused after ${refused.join(', ')} ms, removed in ${removed.join(', ')} ms`);
      await expectNoneLost(pings);
    });
  }

  it('may be away while the daemon crashes and starts, and a container is removed', async () => {
    await everywhere((machine) => start(machine, 'gone'));
    const pings = await pingAround();
    await lab.etcd.kill();
    await everywhere((machine) => machine.restartLanius('SIGKILL'));
    const refused = await expectRefusal();
    await everywhere((machine) => machine.docker('rm', '-f', 'gone'));
    await expectReturn(() => lab.etcd.start(), `refused after ${refused.join(', ')} ms`);
    await expectNoneLost(pings);
  });

  it('may be away while whole machines start after a power cut', async () => {
    await everywhere((machine) => machine.cutPower());
    await lab.etcd.kill();
    await everywhere((machine) => machine.boot());
    await everywhere((machine) => machine.startLanius());
    const began = performance.now();
    await everywhere((machine) => machine.startEngine());
    const engineMs = Math.round(performance.now() - began);
    const refused = await expectRefusal();
    const said = `engines were up after ${engineMs} ms, refused after ${refused.join(', ')} ms`;
    await expectReturn(() => lab.etcd.start(), said);
    await everywhere((machine) => machine.docker('start', 'keep'));
    await everywhere((machine) => exact(machine));
  });
});
