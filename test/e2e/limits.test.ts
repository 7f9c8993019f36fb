/** Limits are in force when a container sends its first packet, and follow etcd live; on three engines. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { shapeOf } from '../../throttle/token-bucket.ts';
import { onEach } from '../support/crash.ts';
import { flatLab, IMAGE, removeAll, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import { expectRates, linkWith, startLimited } from '../support/limited.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { type Sandbox, sandboxOf } from '../support/sandboxes.ts';
import { qdiscsIn, ratesIn, startSink } from '../support/shapers.ts';
import { startStream } from '../support/stream.ts';

const MBIT = 1e6;
const PORT = 9000;
const QUIET = process.env['QUIET'] === '1';
/** Starts in which a container sends at once. */
const STARTS = QUIET ? 20 : 7;
/** Changes of a limit under load. Each is debounced for a second after the one before. */
const EDITS = QUIET ? 20 : 4;
const FIRST_ACT =
  `s=$(cut -d' ' -f1 /proc/uptime); (nc 10.77.0.2 ${PORT} </dev/zero >/dev/null 2>&1 &); usleep 100000; ` +
  `b=$(cat /sys/class/net/eth0/statistics/tx_bytes); e=$(cut -d' ' -f1 /proc/uptime); echo "$s $e $b"`;

describe('e2e/limits, three engines', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab', 'iperf3');
    // Patient with the engine of a busy machine.
    const config = { throttle: { wishTimeoutMs: 5000 } };
    lab = await flatLab({ engineFlags: ['--live-restore'], config });
  });
  after(() => lab?.down());
  afterEach(() => onEach(lab, removeAll));

  it('of the environment alone hold the first 100 ms of a container that sends as fast as it can', async () => {
    const endSink = await startSink(lab.outside, PORT);
    try {
      await onEach(lab, async (machine) => {
        const free = await firstAct(machine, []);
        const bytesPerMs = free.bytes / (free.seconds * 1000);
        const beyondMs: number[] = [];
        for (let start = 0; start < STARTS; start++) {
          const { bytes, seconds } = await firstAct(machine, ['-e', 'net_out=10mbit']);
          const { burstBytes } = shapeOf({ rateBitsPerSecond: 10 * MBIT }, 1500);
          // The clock of the container counts hundredths of a second.
          const allowed = ((seconds + 0.02) * 10 * MBIT) / 8 + burstBytes;
          beyondMs.push(Math.max(0, bytes - allowed) / bytesPerMs);
        }
        beyondMs.sort((a, b) => a - b);
        const median = beyondMs[Math.floor(STARTS / 2)] ?? 0;
        console.log(
          `      ${machine.engine}: ${STARTS} starts, beyond the limit for ${beyondMs.map((ms) => ms.toFixed(1)).join(' ')} ms ` +
            `(without one ${((bytesPerMs * 8) / 1000).toFixed(0)} Mbit/s)`,
        );
        const allowedMs = machine.engine === '28.5' ? 0 : QUIET ? 15 : 150;
        expect(median, `median on engine ${machine.engine}`).to.be.at.most(allowedMs);
        if (machine.engine === '28.5') expect(beyondMs.at(-1)).to.equal(0);
      });
    } finally {
      endSink();
    }
  });

  it('come from labels, endpoint options, network options and etcd, the strongest first', async () => {
    await onEach(lab, async (machine) => {
      const words = ['-d', 'lanius', '--ipam-driver', 'lanius', '--subnet', '10.90.0.0/24'];
      await machine.docker(
        'network',
        'create',
        ...words,
        '-o',
        'parent=eth0',
        '-o',
        'net_in=70mbit',
        'limited',
      );
    });
    await onEach(lab, async (machine) => {
      const said: [string, readonly string[], object][] = [
        ['network', [], { in: 70 * MBIT }],
        [
          'label',
          ['--label', 'lanius.net_in=60mbit', '--label', 'lanius.net_out=5mbit'],
          { in: 60 * MBIT, out: 5 * MBIT },
        ],
        ['env', ['-e', 'NET_IN=50000', '--label', 'lanius.net_in=60mbit'], { in: 50 * MBIT }],
        ['none', ['-e', 'net_in=none'], {}],
      ];
      for (const [name, flags, rates] of said) {
        await machine.docker(
          'run',
          '-d',
          '--name',
          name,
          '--network',
          'limited',
          ...flags,
          IMAGE,
          'sleep',
          '1000',
        );
        await expectRates(await sandboxOf(machine, name), rates);
      }
      // docker 20.10 has --driver-opt for `network connect` only
      await machine.docker('run', '-d', '--name', 'opt', '--network', 'flat', IMAGE, 'sleep', '1000');
      await machine.docker('network', 'disconnect', 'flat', 'opt');
      await machine.docker('network', 'connect', '--driver-opt', 'net_in=40mbit', 'limited', 'opt');
      const opt = await sandboxOf(machine, 'opt');
      await expectRates(opt, { in: 40 * MBIT }, await linkWith(opt, '10.90.'));
      await put(lab, `name/label/in`, '30mbit');
      await expectRates(await sandboxOf(machine, 'label'), { in: 30 * MBIT, out: 5 * MBIT });
    });
    await lab.etcd.ctl('del', '--prefix', '/lanius/v1/limits/');
    await onEach(lab, async (machine) => {
      await expectRates(await sandboxOf(machine, 'label'), { in: 60 * MBIT, out: 5 * MBIT });
      await removeAll(machine);
      await machine.docker('network', 'rm', 'limited');
    });
  });

  it('follow what is written to etcd while traffic flows, both ways, with no connection lost; also after a restart', async () => {
    for (const machine of lab.machines) {
      const name = `live-${machine.name}`;
      const sandbox = await startLimited(machine, name, ['-e', 'net_in=100mbit', '-e', 'net_out=100mbit']);
      const ip = (await running(machine)).find((one) => one.name === name)?.ip ?? '';
      const streams = await Promise.all([
        startStream(sandbox, lab.outside, lab.outside.address, 5301),
        startStream(lab.outside, sandbox, ip, 5302),
      ]);
      const tookMs: number[] = [];
      for (let edit = 0; edit < EDITS; edit++) {
        const rate = edit % 2 === 0 ? 10 : 200;
        const direction = edit % 4 < 2 ? 'out' : 'in';
        const wroteAt = performance.now();
        await put(lab, `name/${name}/${direction}`, `${rate}mbit`);
        await until(
          `${direction} is ${rate}mbit`,
          async () => (await ratesIn(sandbox))[direction] === rate * MBIT,
          {
            intervalMs: 5,
            timeoutMs: 10_000,
          },
        );
        tookMs.push(performance.now() - wroteAt);
        await sleep(1100);
      }
      const handles = JSON.stringify(await qdiscsIn(sandbox));
      const inward = await inwardHandle(sandbox);
      await machine.stopLanius('SIGKILL');
      expect(JSON.stringify(await qdiscsIn(sandbox))).to.equal(handles);
      await put(lab, `name/${name}/out`, '33mbit');
      await machine.startLanius();
      await until('what was written meanwhile', async () => (await ratesIn(sandbox)).out === 33 * MBIT, {
        timeoutMs: 20_000,
      });
      // What nobody has changed was never anything else, also not before the daemon had read etcd again.
      expect(await inwardHandle(sandbox)).to.equal(inward);
      for (const one of streams) await one.expectAlive();
      tookMs.sort((a, b) => a - b);
      console.log(
        `      ${machine.engine}: in force after ${tookMs.map((ms) => ms.toFixed(0)).join(' ')} ms`,
      );
      expect(tookMs[Math.floor(EDITS / 2)]).to.be.at.most(QUIET ? 300 : 2000);
    }
  });

  it('apply at the next start where they were written while the container was stopped or its host was down', async () => {
    await onEach(lab, async (machine) => {
      const name = `later-${machine.name}`;
      await startLimited(machine, name, []);
      await machine.docker('stop', '-t', '0', name);
      await put(lab, `name/${name}/in`, '12mbit');
      await machine.docker('start', name);
      await expectRates(await sandboxOf(machine, name), { in: 12 * MBIT });
    });
  });

  it('that cannot be read keep a container from starting where the engine waits, and are told where it does not', async () => {
    await onEach(lab, async (machine) => {
      const words = ['run', '-d', '--name', 'unread', '--network', 'flat', '-e', 'net_out=10mbps'];
      const { status, stderr } = await machine.tryDocker(...words, IMAGE, 'sleep', '1000');
      const text = 'env net_out: rate "10mbps" may mean bits or bytes a second';
      if (machine.engine === '28.5') {
        expect(status).to.equal(125);
        expect(stderr).to.contain(text);
        return;
      }
      expect(status, stderr).to.equal(0);
      await until('it is told', async () => {
        const said = await machine.askLanius('doctor', '-o', 'json');
        return (JSON.parse(said.stdout) as { checks: { finding: string }[] }).checks.some(({ finding }) =>
          finding.includes('10mbps'),
        );
      });
      expect((await machine.tryLanius('limit', 'ls')).stdout).to.contain('10mbps');
    });
  });

  async function firstAct(
    machine: Machine,
    flags: readonly string[],
  ): Promise<{ bytes: number; seconds: number }> {
    const words = ['run', '--rm', '--network', 'flat', ...flags, IMAGE, 'sh', '-c', FIRST_ACT];
    const [start, end, bytes] = (await machine.docker(...words)).trim().split(' ').map(Number);
    return { bytes: bytes ?? 0, seconds: (end ?? 0) - (start ?? 0) };
  }
});

function put(lab: Lab, key: string, rate: string): Promise<string> {
  return lab.etcd.ctl('put', `/lanius/v1/limits/${key}`, JSON.stringify({ v: 1, rate }));
}

/** Of the bucket for what the container receives: another one for each new limit. */
async function inwardHandle(sandbox: Sandbox): Promise<string | undefined> {
  return (await qdiscsIn(sandbox)).find(({ kind, dev }) => kind === 'tbf' && dev !== 'eth0')?.handle;
}
