/**
 * What the crash tests share: a lab whose containers the machine outside can ping, pings of many containers at once,
 * and the two questions after a crash: is the world exact in time, and has no living container lost its lease?
 *
 * That a lease stood all the time is read from etcd itself: a key that was deleted and made again has another create
 * revision, however short the gap was.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { distFolder } from './checkout.ts';
import { exact, type FlatOptions, flatLab, IMAGE, type RunningContainer, running } from './flat.ts';
import type { Lab } from './lab.ts';
import type { Machine } from './machine.ts';
import type { Count } from './many-pings.ts';
import type { Place } from './ping.ts';
import { until } from './poll.ts';

/** So small that an address freed wrongly would soon be given to another container. */
export const SUBNET = { name: 'flat', subnet: '10.77.16.0/24', gateway: '10.77.16.1' } as const;
/** How soon after a return everything must be exact. */
export const EXACT_WITHIN_MS = 10_000;
const LEASES = '/lanius/v1/leases/';

/** Three machines on one /24 whose gateway is the machine outside. */
export async function crashLab(options: FlatOptions = {}): Promise<Lab> {
  const lab = await flatLab({ ...SUBNET, ...options });
  const added = await lab.outside.exec(['ip', 'addr', 'add', `${SUBNET.gateway}/24`, 'dev', 'eth0']);
  if (added.status === 0) return lab;
  lab.down();
  throw new Error(`the machine outside does not take the gateway's address: ${added.stderr}`);
}

/** Does the same on all machines at once. */
export function onEach<T>(lab: Lab, work: (machine: Machine) => Promise<T>): Promise<T[]> {
  return Promise.all(lab.machines.map(work));
}

/** A container that an engine can stop without waiting ten seconds for its shell. */
export function runQuick(machine: Machine, name: string, ...flags: readonly string[]): Promise<string> {
  const quick = ['--stop-signal', 'KILL', '--network', SUBNET.name];
  return machine.docker('run', '-d', '--name', name, ...quick, ...flags, IMAGE, 'sleep', '100000');
}

/** @throws if it does not run */
export async function containerOf(machine: Machine, name: string): Promise<RunningContainer> {
  const found = (await running(machine)).find((container) => container.name === name);
  if (found === undefined) throw new Error(`${machine.name} runs no container ${name}`);
  return found;
}

export interface Pings {
  /** Ends them all; fails if one packet of one of them was lost. Resolves to the number of packets sent. */
  expectNoLoss(): Promise<number>;
}

/** Pings addresses from one place, each at its interval in ms. @see many-pings.ts, why it is one program */
export async function pingAll(place: Place, targets: readonly (readonly [string, number])[]): Promise<Pings> {
  const words = [process.execPath, `${distFolder}/test/support/many-pings.js`, JSON.stringify(targets)];
  const [program = '', ...args] = place.command(words);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {}); // it has ended already: there will be no counts
  const closed = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await until('the pings have begun', () => output.startsWith('pinging'), {
    timeoutMs: 60_000,
    intervalMs: 5,
  });
  return {
    expectNoLoss: async () => {
      child.stdin.end();
      await closed;
      const counts = JSON.parse(output.slice('pinging\n'.length)) as readonly Count[];
      expect(counts).to.have.length(targets.length);
      expect(counts.filter(({ lost, sent }) => lost > 0 || sent === 0)).to.deep.equal([]);
      return counts.reduce((sum, { sent }) => sum + sent, 0);
    },
  };
}

/** The fine interval at which a gap of traffic is looked for. */
export function every10ms(ips: readonly string[]): [string, number][] {
  return ips.map((ip) => [ip, 10]);
}

/** Create revision of every lease, by address. */
export async function leaseRevisions(lab: Lab): Promise<Map<string, number>> {
  const reply: unknown = JSON.parse(await lab.etcd.ctl('get', '--prefix', LEASES, '-w', 'json'));
  const { kvs = [] } = reply as { readonly kvs?: readonly { key: string; create_revision: number }[] };
  return new Map(
    kvs.map(({ key, create_revision }) => {
      const hex = Buffer.from(key, 'base64').toString('utf8').split('/').at(-1) ?? '';
      return [[...Buffer.from(hex, 'hex')].join('.'), create_revision];
    }),
  );
}

/** Fails if one of these leases was away for any time since `before` was read. */
export async function expectKept(
  lab: Lab,
  before: ReadonlyMap<string, number>,
  ips: readonly string[],
): Promise<void> {
  const now = await leaseRevisions(lab);
  for (const ip of ips) {
    expect(before.get(ip), `lease of ${ip} at the beginning`).to.be.a('number');
    expect([ip, now.get(ip)]).to.deep.equal([ip, before.get(ip)]);
  }
}

/**
 * Leases = endpoints = running containers, and no link lies about, at the latest 10 s after `since` (of
 * `performance.now()`); and reconciliation, asked once more, finds nothing to free.
 * @returns how long it took from `since`, in milliseconds
 */
export async function exactSince(machine: Machine, since: number): Promise<number> {
  const left = (): { readonly timeoutMs: number } => ({
    timeoutMs: Math.max(0, since + EXACT_WITHIN_MS - performance.now()),
  });
  await exact(machine, left(), SUBNET.name);
  await until(`endpoints = containers on ${machine.name}`, () => endpointsMatch(machine), left());
  const tookMs = Math.round(performance.now() - since);
  const report = (await machine.askLaniusJson('reconcile')) as Report;
  expect(report.problem).to.equal(undefined);
  expect(report.decisions.filter(isChange)).to.deep.equal([]);
  await exact(machine, { timeoutMs: 0 }, SUBNET.name);
  return tookMs;
}

interface Report {
  readonly problem?: string;
  readonly decisions: readonly { readonly kind: string; readonly action: string }[];
}

/** Networks and pools are not the question here: they may wait for their time of grace. */
function isChange({ kind, action }: Report['decisions'][number]): boolean {
  return ['lease', 'endpoint', 'link'].includes(kind) && ['free', 'delete'].includes(action);
}

async function endpointsMatch(machine: Machine): Promise<boolean> {
  const [networks, containers] = await Promise.all([
    machine.askLaniusJson('network', 'ls'),
    running(machine),
  ]);
  const endpoints = (networks as { readonly endpoints: number }[]).reduce(
    (sum, one) => sum + one.endpoints,
    0,
  );
  return endpoints === containers.length;
}

/** The container's own way out works: it reaches the gateway. */
export async function expectNetwork(machine: Machine, name: string): Promise<void> {
  await machine.docker('exec', name, 'ping', '-c', '1', '-W', '5', SUBNET.gateway);
}

/** No address is given twice, over all machines. */
export async function expectDistinct(lab: Lab): Promise<void> {
  const ips = (await onEach(lab, (machine) => running(machine))).flat().map(({ ip }) => ip);
  expect(new Set(ips).size, ips.join(' ')).to.equal(ips.length);
}
