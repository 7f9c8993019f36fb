import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { endpointIdOfAlias } from '../../core/ids.ts';
import type { LeakReport } from '../../plugin/wire/admin.ts';
import { onEach } from '../support/crash.ts';
import { flatLab, IMAGE, labConfig, leases, removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

/** Starts and stops over all machines. A thousand: LANIUS_LEAK_ROUNDS=1000, with LANIUS_LEAK_SEED to repeat a run. */
const ROUNDS = Number(process.env['LANIUS_LEAK_ROUNDS'] ?? 60);
const SEED = Number(process.env['LANIUS_LEAK_SEED'] ?? Date.now() % 1_000_000);
/** One round in so many has a kill in it: of the daemon, or, every fourth time, of the engine. */
const KILL_EVERY = 6;
/** One network of each sort; the parents differ, because macvlan and bridge exclude each other on one. */
const NETWORKS = [
  { name: 'plain', args: ['--subnet', '10.81.0.0/24', '-o', 'parent=eth0', '-o', 'arp=responder'] },
  { name: 'reached', args: ['--subnet', '10.82.0.0/24', '-o', 'parent=eth0', '-o', 'host_access=true'] },
  { name: 'bridged', args: ['--subnet', '10.78.0.0/24', '-o', 'parent=nic1', '-o', 'mode=bridge'] },
] as const;

describe(`e2e/leaks: ${ROUNDS} starts and stops with kills of daemon and engine`, function () {
  this.timeout(120_000 + ROUNDS * 10_000);
  let lab: Lab;
  const counts = { runs: 0, failed: 0, daemonKills: 0, engineKills: 0 };

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    console.log(`      LANIUS_LEAK_SEED=${SEED}`);
    lab = await flatLab({ config: { reconcile: { pendingGraceSeconds: 5 } } });
    await onEach(lab, async (machine) => {
      await machine.sh(
        'ip link add nic1 type veth peer name cable1 && ip link set nic1 up && ip link set cable1 up',
      );
      for (const { name, args } of NETWORKS) {
        const drivers = ['-d', 'lanius', '--ipam-driver', 'lanius'];
        await machine.docker('network', 'create', ...drivers, ...args, name);
      }
    });
  });
  after(() => lab?.down());

  it('goes through all rounds', async () => {
    const each = Math.ceil(ROUNDS / lab.machines.length);
    await Promise.all(
      lab.machines.map(async (machine, index) => {
        const random = generator(SEED + index);
        for (let round = 0; round < each; round++) await oneRound(machine, round, random);
      }),
    );
    const { runs, failed, daemonKills, engineKills } = counts;
    console.log(
      `      ${runs} starts (${failed} cut off by a kill), ${daemonKills} kills of a daemon, ${engineKills} of an engine`,
    );
    expect(daemonKills + engineKills).to.be.at.least(Math.floor(ROUNDS / KILL_EVERY / 2));
  });

  it('leaves nothing of its own but what the networks need', async () => {
    await onEach(lab, async (machine) => {
      await removeAll(machine);
      await clean(machine);
      const report = JSON.parse((await leaksOf(machine)).stdout) as LeakReport;
      const kinds = report.belongings.map(({ kind }) => kind);
      expect(kinds).to.include.members(['shim', 'bridge']);
      for (const kind of ['endpoint link', 'host end', 'host route']) expect(kinds).not.to.include(kind);
      await until(
        'no lease is left',
        async () => (await leases(machine, ['--host', machine.name])).length === 0,
        {
          timeoutMs: 30_000,
        },
      );
    });
  });

  it('leaves nothing at all when the networks are gone', async () => {
    await onEach(lab, async (machine) => {
      await machine.sh('docker network rm $(docker network ls -q --filter driver=lanius) >/dev/null');
      await clean(machine);
      await until(
        'nothing of ours is there',
        async () => {
          const report = JSON.parse((await leaksOf(machine)).stdout) as LeakReport;
          return report.belongings.length === 0;
        },
        { timeoutMs: 60_000, intervalMs: 1000 },
      );
      const links = await machine.sh('ip -j link');
      const marked = (JSON.parse(links) as { ifalias?: string }[]).filter(({ ifalias = '' }) => {
        return ifalias.startsWith('lanius:') || endpointIdOfAlias(ifalias) !== undefined;
      });
      expect(marked).to.deep.equal([]);
      expect(await machine.sh('ip route show proto 76; ip -6 route show proto 76')).to.equal('');
      expect(await machine.sh('ls /run/netns 2>/dev/null | grep -c lanius || true')).to.equal('0');
    });
  });

  async function oneRound(machine: Machine, round: number, random: () => number): Promise<void> {
    const network = NETWORKS[Math.floor(random() * NETWORKS.length)]?.name ?? 'plain';
    const name = `r${round}`;
    // Which one is chance, but not how many.
    const kill = (round + SEED) % KILL_EVERY === 0;
    const engine = kill && random() < 1 / 4;
    const onTheWayIn = random() < 1 / 2;
    const delayMs = Math.floor(random() * 700);
    const quick = ['--stop-signal', 'KILL', '--network', network];
    const start = () => machine.tryDocker('run', '-d', '--name', name, ...quick, IMAGE, 'sleep', '100000');
    const stop = () => machine.tryDocker('rm', '-f', name);
    const [first, last] = onTheWayIn ? [true, false] : [false, true];
    counts.runs += 1;
    const started = await disturbed(machine, start, kill && first, engine, delayMs);
    if (started !== 0) counts.failed += 1;
    await disturbed(machine, stop, kill && last, engine, delayMs);
    await stop();
  }

  /** Does the deed, and in the midst of it kills daemon or engine and starts it again. @returns its status */
  async function disturbed(
    machine: Machine,
    deed: () => ReturnType<Machine['tryDocker']>,
    kill: boolean,
    engine: boolean,
    delayMs: number,
  ): Promise<number> {
    const done = deed();
    if (kill) {
      await sleep(delayMs);
      if (engine) {
        counts.engineKills += 1;
        await machine.stopEngine('SIGKILL');
        await machine.startEngine();
      } else {
        counts.daemonKills += 1;
        await machine.stopLanius('SIGKILL');
        await machine.startLanius(labConfig(lab, { reconcile: { pendingGraceSeconds: 5 } }));
      }
    }
    return (await done).status;
  }
});

function leaksOf(machine: Machine) {
  return machine.askLanius('doctor', '--leaks', '-o', 'json');
}

/** The sweep has its time; then `lanius doctor --leaks` ends with 0. */
async function clean(machine: Machine): Promise<void> {
  await until(
    `nothing is left over on ${machine.name}`,
    async () => {
      const said = await leaksOf(machine);
      if (said.status === 0) return true;
      throw new Error(`${said.stdout}${said.stderr}`);
    },
    { timeoutMs: 60_000, intervalMs: 1000 },
  );
}

/** Numbers from 0 to 1 that depend on the seed alone. @see Marsaglia, Xorshift RNGs */
function generator(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 0x1_0000_0000;
  };
}
