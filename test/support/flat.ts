/**
 * A lab with Lanius on every machine and one flat network over all of them: the situation of nearly every journey.
 * And the question that nearly every journey ends with: is the world exact?
 */
import { expect } from 'chai';
import { endpointIdOfAlias } from '../../core/ids.ts';
import { Lab, type LabOptions } from './lab.ts';
import type { Machine } from './machine.ts';
import { type PollOptions, until } from './poll.ts';

export const ENGINES = ['20.10', '26.1', '28.5'] as const;
export const THREE: LabOptions = {
  machines: ENGINES.map((engine, index) => ({ name: `h${index + 1}`, engine })),
  etcd: true,
};
export const IMAGE = 'bb:1';

export interface FlatOptions {
  readonly lab?: LabOptions;
  /** Name of the network. */
  readonly name?: string;
  readonly subnet?: string;
  readonly gateway?: string;
  /** More words of `docker network create`. */
  readonly options?: readonly string[];
  /** More settings of the daemons, by section. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly engineFlags?: readonly string[];
}

/** The daemon's settings on a lab machine, with the lab's etcd. */
export function labConfig(lab: Lab, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { etcd: { hosts: [lab.etcd.endpoint] }, log: { level: 'debug' }, ...more };
}

/** Machines, etcd, daemons, engines, and the network on each machine. */
export async function flatLab(options: FlatOptions = {}): Promise<Lab> {
  const lab = await Lab.up(options.lab ?? THREE);
  try {
    await Promise.all(lab.machines.map((machine) => machine.startLanius(labConfig(lab, options.config))));
    await Promise.all(lab.machines.map((machine) => machine.startEngine(...(options.engineFlags ?? []))));
    await Promise.all(lab.machines.map((machine) => createNetwork(machine, options)));
    return lab;
  } catch (error) {
    lab.down();
    throw error;
  }
}

export function createNetwork(machine: Machine, options: FlatOptions = {}): Promise<string> {
  const { name = 'flat', subnet = '10.77.0.0/16', gateway = '10.77.0.2', options: more = [] } = options;
  const drivers = ['-d', 'lanius', '--ipam-driver', 'lanius'];
  return machine.docker(
    'network',
    'create',
    ...drivers,
    '--subnet',
    subnet,
    '--gateway',
    gateway,
    '-o',
    'parent=eth0',
    ...more,
    name,
  );
}

export interface RunningContainer {
  readonly id: string;
  readonly name: string;
  readonly ip: string;
  readonly mac: string;
}

/** Containers of a machine that run on a network, as the engine shows them. */
export async function running(machine: Machine, network = 'flat'): Promise<RunningContainer[]> {
  const api = await machine.engineApi();
  const listed = await api.listContainers({ filters: { network: [network] } });
  const inspected = await Promise.all(listed.map(({ Id }) => api.getContainer(Id).inspect()));
  return inspected.map((container) => {
    const endpoint = container.NetworkSettings.Networks[network];
    return {
      id: container.Id,
      name: container.Name.slice(1),
      ip: endpoint?.IPAddress ?? '',
      mac: endpoint?.MacAddress ?? '',
    };
  });
}

export interface LeaseRow {
  readonly address: string;
  readonly state: string;
  readonly host: string;
  readonly containerName?: string;
}

/** Leases (without reservations) as `lanius ip ls` shows them. */
export async function leases(machine: Machine, filter: readonly string[] = []): Promise<LeaseRow[]> {
  const rows = (await machine.askLaniusJson('ip', 'ls', ...filter)) as LeaseRow[];
  return rows.filter((row) => row.state !== 'reserved');
}

/** The MAC that an address must have. */
export function macOfIp(ip: string): string {
  const bytes = ip.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return ['02', '4c', ...bytes].join(':');
}

/** Links of endpoints in the machine's own namespace, where they are only on their way in or out. */
export async function ownLinks(machine: Machine): Promise<string[]> {
  const links: unknown = JSON.parse(await machine.sh('ip -j link show'));
  return (links as { ifname: string; ifalias?: string }[])
    .filter(({ ifname, ifalias = '' }) => ifname.startsWith('ln') && endpointIdOfAlias(ifalias) !== undefined)
    .map((link) => link.ifname);
}

/**
 * Waits until leases = running containers and no link of ours lies about in the machine's namespace; fails with
 * what differs.
 */
export async function exact(machine: Machine, options: PollOptions = {}, network = 'flat'): Promise<void> {
  let difference = '';
  const look = async (): Promise<boolean> => {
    const [containers, held, links] = await Promise.all([
      running(machine, network),
      leases(machine, ['--host', machine.name]),
      ownLinks(machine),
    ]);
    const want = containers.map(({ ip }) => ip).sort();
    const have = held.map(({ address }) => address).sort();
    difference = JSON.stringify({ containers: want, leases: have, links });
    return JSON.stringify(want) === JSON.stringify(have) && links.length === 0;
  };
  await until(`leases = containers on ${machine.name}`, look, {
    timeoutMs: 10_000,
    intervalMs: 300,
    ...options,
  }).catch((error: Error) => expect.fail(`${error.message}: ${difference}`));
}

/** Starts `count` containers at once; resolves to what docker said of each. */
export function startMany(machine: Machine, count: number, prefix = 'c', network = 'flat') {
  const names = Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
  return Promise.all(
    names.map((name) =>
      machine.tryDocker('run', '-d', '--name', name, '--network', network, IMAGE, 'sleep', '100000'),
    ),
  );
}

export async function removeAll(machine: Machine): Promise<void> {
  await machine.sh('ids=$(docker ps -aq); [ -z "$ids" ] || docker rm -f $ids >/dev/null', {
    timeoutMs: 120_000,
  });
}
