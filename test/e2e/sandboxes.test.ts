/** What is set in sandboxes comes there, stays there and comes back, on three engines. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { announcementsOf, captureArp } from '../support/arp-wire.ts';
import { onEach } from '../support/crash.ts';
import { flatLab, IMAGE, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';
import { type Sandbox, sandboxOf } from '../support/sandboxes.ts';

/** 1,022 usable addresses, less the gateway and the container's own. */
const PRELOAD = { name: 'pre', subnet: '10.80.0.0/22', gateway: '10.80.0.1', planned: 1020 };
const RESPONDER = { name: 'res', subnet: '10.81.0.0/16', gateway: '10.81.0.1' };
const BACK_MS = 1000;

describe('e2e/sandboxes', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab();
    for (const [{ name, subnet, gateway }, arp] of [
      [PRELOAD, 'preload'],
      [RESPONDER, 'responder'],
    ] as const) {
      const pool = ['--ipam-driver', 'lanius', '--subnet', subnet, '--gateway', gateway];
      const words = ['-d', 'lanius', ...pool, '-o', 'parent=eth0', '-o', `arp=${arp}`, name];
      await onEach(lab, (machine) => machine.docker('network', 'create', ...words));
    }
  });
  after(() => lab?.down());

  it('are announced three times, whatever the engine does', async () => {
    const capture = await captureArp();
    const ips = await Promise.all(
      lab.machines.map(async (machine) => {
        await start(machine, 'announced', 'flat');
        const found = (await running(machine, 'flat')).find(({ name }) => name === 'announced');
        return found?.ip ?? '';
      }),
    );
    await sleep(2500);
    const frames = await capture.stop();
    for (const [index, ip] of ips.entries()) {
      const times = announcementsOf(frames, [ip]).map(({ atMs }) => atMs);
      const gaps = times.map((at, n) => at - (times[n - 1] ?? at));
      expect(times, `${lab.machines[index]?.engine} ${ip}: ${gaps.join(' ')} ms`).to.have.length(3);
    }
    await onEach(lab, (machine) => machine.docker('rm', '-f', 'announced'));
  });

  for (const [what, commands] of [
    ['the link was down and up', ['ip link set DEV down', 'ip link set DEV up']],
    ['a MAC was set', ['ip link set DEV address MAC']],
    ['all entries were flushed', ['ip neigh flush dev DEV nud permanent']],
  ] as const) {
    it(`have the table back within 1 s after ${what} inside`, async () => {
      for (const machine of lab.machines) {
        const sandbox = await started(machine, PRELOAD.name);
        const link = await linkIn(sandbox, '10.80.');
        await until('the table', async () => (await entries(sandbox, link)) === PRELOAD.planned);
        for (const command of commands) {
          await sh(sandbox, command.replace('DEV', link).replace('MAC', '02:4c:0a:50:03:fe'));
        }
        const lostAt = performance.now();
        await until('the table is back', async () => (await entries(sandbox, link)) === PRELOAD.planned, {
          timeoutMs: BACK_MS,
          intervalMs: 10,
        });
        console.log(`      ${machine.engine}: ${(performance.now() - lostAt).toFixed(0)} ms`);
        await machine.docker('rm', '-f', sandbox.name);
      }
    });
  }

  it('have the responder back within 1 s after somebody inside removed it', async () => {
    for (const machine of lab.machines) {
      const sandbox = await started(machine, RESPONDER.name);
      const link = await linkIn(sandbox, '10.81.');
      await until('the filter', () => answers(sandbox, link));
      await sh(sandbox, `tc qdisc del dev ${link} clsact`);
      const lostAt = performance.now();
      await until('the filter is back', () => answers(sandbox, link), { timeoutMs: BACK_MS, intervalMs: 10 });
      console.log(`      ${machine.engine}: ${(performance.now() - lostAt).toFixed(0)} ms`);
      const said = await machine.lanius('doctor', '-o', 'json').catch((error: Error) => error.message);
      expect(JSON.stringify(said)).to.match(/mended since the start/);
      await machine.docker('rm', '-f', sandbox.name);
    }
  });

  it('get the settings of networks that are connected while they run, and of the second network of a start', async () => {
    for (const machine of lab.machines) {
      const sandbox = await started(machine, 'flat');
      await machine.docker('network', 'connect', PRELOAD.name, sandbox.name);
      const asked = performance.now();
      const link = await linkIn(sandbox, '10.80.');
      await until('the table of eth1', async () => (await entries(sandbox, link)) === PRELOAD.planned, {
        timeoutMs: BACK_MS,
        intervalMs: 10,
      });
      const connectedMs = performance.now() - asked;
      await machine.docker('rm', '-f', sandbox.name);

      const words = ['--name', 'both', '--network', PRELOAD.name, IMAGE, 'sleep', '100000'];
      await machine.docker('create', ...words);
      await machine.docker('network', 'connect', RESPONDER.name, 'both');
      await machine.docker('start', 'both');
      const both = await sandboxOf(machine, 'both');
      const startedAt = performance.now();
      const [first, second] = [await linkIn(both, '10.80.'), await linkIn(both, '10.81.')];
      await until(
        'both',
        async () => (await entries(both, first)) === PRELOAD.planned && answers(both, second),
        {
          timeoutMs: BACK_MS,
          intervalMs: 10,
        },
      );
      console.log(
        `      ${machine.engine}: seen ${connectedMs.toFixed(0)} ms after connect, ${(performance.now() - startedAt).toFixed(0)} ms after start`,
      );
      await machine.docker('rm', '-f', 'both');
    }
  });

  it('are looked after again by a daemon that starts anew, which does not announce them again', async () => {
    for (const machine of lab.machines) {
      const sandbox = await started(machine, PRELOAD.name);
      const link = await linkIn(sandbox, '10.80.');
      await until('the table', async () => (await entries(sandbox, link)) === PRELOAD.planned);
      await sleep(2500);
      await machine.stopLanius('SIGKILL');
      await sh(sandbox, `ip neigh flush dev ${link} nud permanent`);
      expect(await entries(sandbox, link)).to.equal(0);
      const capture = await captureArp();
      await machine.startLanius();
      await until('the table is back', async () => (await entries(sandbox, link)) === PRELOAD.planned);
      await sleep(300);
      const [ip = ''] = (await running(machine, PRELOAD.name)).map((one) => one.ip);
      expect(announcementsOf(await capture.stop(), [ip])).to.deep.equal([]);
      await machine.docker('rm', '-f', sandbox.name);
    }
  });
});

async function start(machine: Machine, name: string, network: string): Promise<void> {
  await machine.docker('run', '-d', '--name', name, '--network', network, IMAGE, 'sleep', '100000');
}

async function started(machine: Machine, network: string): Promise<Sandbox> {
  await start(machine, 'one', network);
  return sandboxOf(machine, 'one');
}

function sh(sandbox: Sandbox, script: string): Promise<string> {
  return runOk(sandbox.command(['sh', '-c', script]));
}

/** The name of the link with an address that begins so. */
async function linkIn(sandbox: Sandbox, beginning: string): Promise<string> {
  const lines = (await sh(sandbox, 'ip -o -4 addr show')).split('\n');
  const line = lines.find((one) => one.includes(`inet ${beginning}`));
  const name = line === undefined ? undefined : /^\d+:\s+(\S+)/.exec(line)?.[1];
  if (name === undefined) throw new Error(`no link with an address in ${beginning}: ${lines.join('; ')}`);
  return name;
}

async function entries(sandbox: Sandbox, link: string): Promise<number> {
  return Number(await sh(sandbox, `ip neigh show dev ${link} nud permanent | wc -l`));
}

async function answers(sandbox: Sandbox, link: string): Promise<boolean> {
  return (await sh(sandbox, `tc filter show dev ${link} egress`)).includes('lanius-arp');
}
