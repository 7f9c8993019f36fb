/**
 * Three machines with three engines in two racks, and what a journey through operators' pools says again and again:
 * make a network, run a container and see its address, be refused, clear away.
 *
 * Pools of such journeys lie outside of 10.77.0.0/16, where the machines are: engines before 27 take no pool that overlaps
 * a route of their host without `--subnet`.
 */
import { expect } from 'chai';
import { bugs } from './daemon-log.ts';
import { refusal } from './docker-words.ts';
import { IMAGE, labConfig, THREE } from './flat.ts';
import { Lab } from './lab.ts';
import type { Machine } from './machine.ts';
import { until } from './poll.ts';

export const RACKS = ['r1', 'r1', 'r2'] as const;
const DRIVERS = ['-d', 'lanius', '--ipam-driver', 'lanius', '-o', 'parent=eth0'];
const SLEEP = [IMAGE, 'sleep', '100000'];

/** Machine i is in RACKS[i], by `host.labels`. */
export async function rackLab(): Promise<Lab> {
  const lab = await Lab.up(THREE);
  try {
    await everywhere(lab, (machine, i) => {
      const host = { labels: { rack: RACKS[i] ?? '' } };
      return machine.startLanius(labConfig(lab, { host }));
    });
    await everywhere(lab, (machine) => machine.startEngine());
    return lab;
  } catch (error) {
    lab.down();
    throw error;
  }
}

/** Like Promise.all over the machines, but nothing is still running when it rejects. */
export async function everywhere<T>(
  lab: Lab,
  work: (machine: Machine, index: number) => Promise<T>,
): Promise<T[]> {
  const all = lab.machines.map(work);
  await Promise.allSettled(all);
  return Promise.all(all);
}

/** The machines of the lab, which has three. */
export function threeOf({ machines: [one, two, three] }: Lab): [Machine, Machine, Machine] {
  if (one === undefined || two === undefined || three === undefined) throw new Error('no machine');
  return [one, two, three];
}

export function createOn(machine: Machine, name: string, ...args: readonly string[]): Promise<string> {
  return machine.docker('network', 'create', ...DRIVERS, ...args, name);
}

export async function refusedCreate(machine: Machine, ...args: readonly string[]): Promise<string> {
  return refusal(await machine.tryDocker('network', 'create', ...DRIVERS, ...args, 'refused'));
}

export interface Run {
  readonly network?: string;
  readonly args?: readonly string[];
}

/** Starts a container on the network `test`; resolves to its IPv4 address. */
export async function runOn(machine: Machine, name: string, { network = 'test', args = [] }: Run = {}) {
  await machine.docker('run', '-d', '--name', name, '--network', network, ...args, ...SLEEP);
  return ipOf(machine, name, network);
}

/** What docker says of a container that must not start. */
export async function refusedRun(machine: Machine, { network = 'test', args = [] }: Run = {}) {
  return refusal(await machine.tryDocker('run', '--rm', '--network', network, ...args, IMAGE, 'true'));
}

export function ipOf(machine: Machine, name: string, network = 'test'): Promise<string> {
  return machine.docker('inspect', '-f', `{{.NetworkSettings.Networks.${network}.IPAddress}}`, name);
}

export function macOf(machine: Machine, name: string, network = 'test'): Promise<string> {
  return machine.docker('inspect', '-f', `{{.NetworkSettings.Networks.${network}.MacAddress}}`, name);
}

/** How an engine says that address management refused. */
export function ipamSays(machine: Machine, message: string): string {
  const text = `IpamDriver.RequestAddress: ${message}`;
  return machine.engine === '28.5' ? `failed to set up container networking: ${text}` : text;
}

/** What `lanius` says on stderr when it refuses; one line. */
export async function refusedLanius(machine: Machine, ...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await machine.tryLanius(...args);
  expect(status, `lanius ${args.join(' ')}: ${stdout}`).to.not.equal(0);
  const lines = stderr.split('\n').filter((line) => line !== '');
  expect(lines).to.have.length(1);
  return lines[0] ?? '';
}

/** Nothing is left of a test: no container, no network but docker's own, no operator's pool. And no bug was logged. */
export async function clearPools(lab: Lab): Promise<void> {
  await everywhere(lab, (machine) =>
    machine.sh(
      'ids=$(docker ps -aq); [ -z "$ids" ] || docker rm -f $ids >/dev/null; ' +
        'for n in $(docker network ls -q --filter type=custom); do docker network rm $n >/dev/null; done',
      { timeoutMs: 120_000 },
    ),
  );
  const [machine] = threeOf(lab);
  const pools = (await machine.lanius('pool', 'ls', '-o', 'json')) as readonly { readonly name?: string }[];
  for (const name of pools.flatMap((pool) => pool.name ?? [])) {
    await until(
      `pool ${name} can go`,
      async () => (await machine.tryLanius('pool', 'rm', name)).status === 0,
    );
  }
  for (const one of lab.machines) expect(await bugs(one)).to.deep.equal([]);
}

export interface PoolShown {
  readonly draining: number;
  readonly cooling: number;
  readonly leased: number;
  readonly reserved: number;
  readonly hosts: readonly string[];
  readonly ranges: readonly {
    readonly range: string;
    readonly size: number;
    readonly taken: number;
    readonly free: number;
  }[];
}

export async function showPool(machine: Machine, name: string): Promise<PoolShown> {
  return (await machine.lanius('pool', 'show', name, '-o', 'json')) as PoolShown;
}
