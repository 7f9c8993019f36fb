/** Limits that people set while a container runs, from another host: in force, told, seen in the figures, taken away. */
import { expect } from 'chai';
import { onEach } from '../support/crash.ts';
import { writtenKeys } from '../support/etcd-count.ts';
import { exact, flatLab, IMAGE, labConfig, removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { expectRates, startLimited } from '../support/limited.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { sandboxOf } from '../support/sandboxes.ts';
import { ratesIn, startSink } from '../support/shapers.ts';

const MBIT = 1e6;
const PORT = 9100;

interface Change {
  readonly inForce: boolean;
  readonly leases: readonly { readonly host: string; readonly limits: Readonly<Record<string, object>> }[];
}
interface Report {
  readonly limits: readonly Readonly<Record<string, unknown>>[];
  readonly unused: readonly Readonly<Record<string, unknown>>[];
}
interface Used {
  readonly containerName?: string;
  readonly out: {
    readonly bytes: number;
    readonly drops: number;
    readonly bitsPerSecondOver1s?: number;
    readonly limitBitsPerSecond?: number;
  };
}

describe('e2e/limits that people set', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    const machines = [
      { name: 'h1', engine: '20.10' },
      { name: 'h2', engine: '28.5' },
    ] as const;
    lab = await flatLab({
      lab: { machines, etcd: true },
      config: { throttle: { capacity: { eth0: { in: '1gbit', out: '1gbit' } } } },
    });
  });
  after(() => lab?.down());

  it('are in force where the container runs, told in its lease, and counted against its host', async () => {
    const [h1, h2] = lab.machines;
    if (h1 === undefined || h2 === undefined) throw new Error('no machines');
    const endSink = await startSink(lab.outside, PORT);
    try {
      const sending = `nc 10.77.0.2 ${PORT} </dev/zero >/dev/null; sleep 1000`;
      await h2.docker(
        'run',
        '-d',
        '--name',
        'web',
        '--network',
        'flat',
        '-e',
        'net_in=30mbit',
        IMAGE,
        'sh',
        '-c',
        sending,
      );
      const sandbox = await sandboxOf(h2, 'web');
      await until('the lease says who has it', async () => {
        const [lease] = (await h2.askLaniusJson('ip', 'ls', '--name', 'web')) as readonly object[];
        return lease !== undefined && 'limits' in lease;
      });

      // Made by one transaction, and changed by one more that says holder and limits.
      const written = await writtenKeys(lab, '/lanius/v1/leases/');
      expect(written.map(({ version }) => version).filter((version) => version > 1)).to.deep.equal([2]);

      const from = performance.now();
      const set = (await h1.lanius(
        ...['limit', 'set', 'web', '--in', '50mbit', '--out', '20mbit', '--wait', '-o', 'json'],
      )) as Change;
      console.log(
        `      told to be in force ${(performance.now() - from).toFixed(0)} ms after the command began`,
      );
      expect(set.inForce).to.equal(true);
      expect(set.leases[0]?.limits).to.deep.equal({
        in: { rate: '50mbit', source: 'override', state: 'in force', how: 'tbf' },
        out: { rate: '20mbit', source: 'override', state: 'in force', how: 'tbf' },
      });
      expect(await ratesIn(sandbox)).to.deep.equal({ in: 50 * MBIT, out: 20 * MBIT });

      const used = await until('the rate is that of the limit', async () => {
        const [web] = (await h2.lanius('top', '--once', '--interval', '2s', '-o', 'json')) as readonly Used[];
        const rate = web?.out.bitsPerSecondOver1s ?? 0;
        return rate > 15 * MBIT && rate < 22 * MBIT ? web : undefined;
      });
      console.log(
        `      sends ${((used.out.bitsPerSecondOver1s ?? 0) / MBIT).toFixed(2)} of 20 Mbit/s, ${used.out.drops} drops`,
      );
      expect(used).to.deep.include({ containerName: 'web' });
      expect(used.out.limitBitsPerSecond).to.equal(20 * MBIT);

      const here = (await h2.lanius('limit', 'ls', '-o', 'json')) as Report;
      expect(here.limits).to.have.length(1);
      expect(here.limits[0]).to.include({ containerName: 'web', mended: 0, netAdmin: false });
      const there = (await h1.lanius(
        'limit',
        'ls',
        '--host',
        set.leases[0]?.host ?? '',
        '-o',
        'json',
      )) as Report;
      expect(there.limits[0]).to.include({ containerName: 'web' });

      await until('the host says what is free', async () => {
        const hosts = (await h1.askLaniusJson('host', 'ls')) as readonly {
          readonly bandwidth?: Readonly<Record<string, Readonly<Record<string, number>>>>;
        }[];
        return hosts.some(({ bandwidth }) => bandwidth?.['eth0']?.['freeOutBitsPerSecond'] === 980 * MBIT);
      });

      await h1.lanius('limit', 'rm', 'web', '-o', 'json');
      await until('what the container says counts again', async () => {
        const { in: inward, out } = await ratesIn(sandbox);
        return inward === 30 * MBIT && out === undefined;
      });
      const [after] = (await h2.lanius('top', '--once', '-o', 'json')) as readonly Used[];
      expect(after?.out.bytes).to.be.at.least(used.out.bytes);
      expect(after?.out).to.not.have.property('limitBitsPerSecond');
    } finally {
      await removeAll(h2);
      endSink();
    }
    await exact(h2);
  });

  it('follow the name of a container, also through a rename that nobody hears', async () => {
    await onEach(lab, async (machine) => {
      const name = (part: string) => `${machine.name}-${part}`;
      const sandbox = await startLimited(machine, name('one'));
      for (const [part, rate] of [
        ['two', '7mbit'],
        ['three', '9mbit'],
      ] as const)
        await machine.lanius('limit', 'set', name(part), '--in', rate);
      await machine.docker('rename', name('one'), name('two'));
      await expectRates(sandbox, { in: 7 * MBIT });
      await until('the lease says so', () => hasLease(machine, name('two')));
      await machine.stopLanius();
      await machine.docker('rename', name('two'), name('three'));
      await machine.startLanius();
      await expectRates(sandbox, { in: 9 * MBIT });
      await until('the lease says so', () => hasLease(machine, name('three')));
      for (const part of ['two', 'three']) await machine.lanius('limit', 'rm', name(part));
      await expectRates(sandbox, {});
      await removeAll(machine);
    });
  });

  it('of a cap are taken away from containers that turn out to want none', async () => {
    const throttle = { cap: { in: '3mbit', out: '3mbit' } };
    await onEach(lab, async (machine) => {
      await machine.stopLanius();
      await machine.startLanius(labConfig(lab, { throttle }));
      await expectRates(await startLimited(machine, 'free', ['-e', 'net_in=none']), {});
      await expectRates(await startLimited(machine, 'plain'), {});
      await expectRates(await startLimited(machine, 'own', ['-e', 'net_out=8mbit']), { out: 8 * MBIT });
      await removeAll(machine);
    });
  });
});

async function hasLease(machine: Machine, name: string): Promise<boolean> {
  return ((await machine.askLaniusJson('ip', 'ls', '--name', name)) as readonly object[]).length === 1;
}
