import { expect } from 'chai';
import { bugs } from '../support/daemon-log.ts';
import { createNetwork, exact, IMAGE, leases, running, THREE } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { startPing } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

describe('e2e/machines without an etcd cluster', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await Lab.up({ machines: THREE.machines });
    await everywhere((machine) => machine.startLanius({ log: { level: 'debug' } }));
    await everywhere((machine) => machine.startEngine());
  });
  after(() => lab?.down());

  /** Like Promise.all, but nothing is still running when it rejects. */
  const everywhere = async <T>(work: (machine: Machine, index: number) => Promise<T>): Promise<T[]> => {
    const all = lab.machines.map(work);
    await Promise.allSettled(all);
    return Promise.all(all);
  };
  const etcdPids = async (machine: Machine): Promise<string> =>
    (await machine.exec(['sh', '-c', 'grep -lsx etcd /proc/[0-9]*/comm | cut -d/ -f3'])).stdout.trim();
  const runs = (machine: Machine): Promise<string> =>
    machine.docker('run', '--rm', '--network', 'flat', IMAGE, 'true');
  const held = async (machine: Machine): Promise<string[]> =>
    (await leases(machine)).map(({ address }) => address).sort();

  it('have an address pool at once, each its own', () =>
    everywhere(async (machine, index) => {
      const subnet = `10.77.${51 + index}.0/24`;
      await createNetwork(machine, { subnet, gateway: `10.77.${51 + index}.1` });
      for (const name of ['keep', 'gone']) {
        await machine.docker('run', '-d', '--name', name, '--network', 'flat', IMAGE, 'sleep', '100000');
      }
      for (const { ip } of await running(machine))
        expect(ip).to.match(new RegExp(`^10\\.77\\.${51 + index}\\.`));
      await exact(machine);
    }));

  it('show their etcd to nobody else', () =>
    everywhere(async (machine) => {
      const listening = (await machine.sh('ss -Hltn'))
        .split('\n')
        .map((line) => line.trim().split(/\s+/)[3] ?? '');
      expect(listening.filter((where) => /:23(79|80)0$/.test(where)).sort()).to.deep.equal([
        '127.0.0.1:23790',
        '127.0.0.1:23800',
      ]);
      expect(listening.filter((where) => !where.startsWith('127.'))).to.deep.equal([]);
      expect(await machine.sh('stat -c %a /var/lib/lanius/etcd')).to.equal('700');
    }));

  it('go on with the same etcd after a crash of the daemon', () =>
    everywhere(async (machine) => {
      const before = [await etcdPids(machine), await held(machine)];
      await machine.restartLanius('SIGKILL');
      await runs(machine);
      expect([await etcdPids(machine), await held(machine)]).to.deep.equal(before);
    }));

  it('have etcd back by themselves after its crash, and containers notice nothing', async () => {
    const took = await everywhere(async (machine) => {
      const [keep] = (await running(machine)).filter(({ name }) => name === 'keep');
      const ping = await startPing(await machine.sandbox('gone'), keep?.ip ?? '', 10);
      const [pid, before] = [await etcdPids(machine), await held(machine)];
      await machine.sh(`kill -9 ${pid}`);
      const began = performance.now();
      await runs(machine);
      const tookMs = Math.round(performance.now() - began);
      expect(await etcdPids(machine))
        .to.match(/^\d+$/)
        .and.not.equal(pid);
      expect(await held(machine)).to.deep.equal(before);
      expect(await ping.stop()).to.include({ lost: 0 });
      return tookMs;
    });
    console.log(`      docker run right after the crash of etcd took ${took.join(', ')} ms`);
  });

  it('keep their leases over a power cut, exactly', () =>
    everywhere(async (machine) => {
      const before = await held(machine);
      expect(before).to.have.length(2);
      await machine.cutPower();
      await machine.boot();
      await machine.startLanius();
      // The engine is not up, so nobody can know that the containers are dead.
      expect(await until('the leases to be there', () => held(machine), { timeoutMs: 20_000 })).to.deep.equal(
        before,
      );
      await machine.startEngine();
      await machine.docker('start', 'keep');
      await exact(machine, { timeoutMs: 30_000 });
      await runs(machine);
    }));

  it('end etcd with the daemon when it is told to end, and have everything at its next start', () =>
    everywhere(async (machine) => {
      const before = await held(machine);
      await machine.stopLanius('SIGTERM');
      expect(await etcdPids(machine)).to.equal('');
      await machine.startLanius();
      await runs(machine);
      expect(await held(machine)).to.deep.equal(before);
      expect(await bugs(machine)).to.deep.equal([]);
    }));
});
