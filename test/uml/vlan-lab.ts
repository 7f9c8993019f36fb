/** Two machines on a trunk with the VLANs 5 and 6, and what the tests of VLAN sub-interfaces ask of them. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import { macOfIp, type RunningContainer, running } from '../support/flat.ts';
import type { Lab, LabOptions } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import type { RunResult } from '../support/run.ts';
import { sandboxOf } from '../support/sandboxes.ts';
import { ratesIn } from '../support/shapers.ts';

export const TRUNK = {
  machines: [
    { name: 'h1', engine: '20.10' },
    { name: 'h2', engine: '28.5' },
  ],
  etcd: { unsafeNoFsync: true },
  vlans: [5, 6],
} as const satisfies LabOptions;

/** Ordinary ARP in five: a test there uses addresses that nobody gave it, whose MAC does not follow from them. */
export const NETWORKS = [
  { name: 'five', vlan: 5, subnet: '10.5.0.0/16', parent: ['-o', 'parent=eth0.5', '-o', 'arp=off'] },
  { name: 'six', vlan: 6, subnet: '10.6.0.0/16', parent: ['-o', 'parent=eth0', '-o', 'vlan=6'] },
] as const;

export const MARK = 'lanius:vlan';
const SERVE = 'while :; do echo "hello from $(hostname)" | nc -l -p 9000; done';

/** A VLAN sub-interface as `ip -d -j link` shows it. */
export interface SubInterface {
  readonly name: string;
  readonly linkIndex: number;
  readonly lower: string;
  readonly vlan: number;
  readonly mtu: number;
  readonly up: boolean;
  readonly alias: string;
}

interface IpLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly link?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: { readonly id?: number } };
}

export async function subInterfaces(machine: Machine): Promise<SubInterface[]> {
  const links = JSON.parse(await machine.sh('ip -d -j link')) as IpLink[];
  return links
    .filter(({ linkinfo }) => linkinfo?.info_kind === 'vlan')
    .map((link) => ({
      name: link.ifname,
      linkIndex: link.ifindex,
      lower: link.link ?? '',
      vlan: link.linkinfo?.info_data?.id ?? 0,
      mtu: link.mtu,
      up: link.flags.includes('UP'),
      alias: link.ifalias ?? '',
    }));
}

export async function subInterface(machine: Machine, name: string): Promise<SubInterface | undefined> {
  return (await subInterfaces(machine)).find((link) => link.name === name);
}

/** Names, sorted, with blanks between. */
export async function subInterfaceNames(machine: Machine): Promise<string> {
  const links = await subInterfaces(machine);
  return links
    .map(({ name }) => name)
    .sort()
    .join(' ');
}

export async function untilNames(machine: Machine, names: string): Promise<void> {
  let seen = '';
  const look = async (): Promise<boolean> => {
    seen = await subInterfaceNames(machine);
    return seen === names;
  };
  await until(`the sub-interfaces of ${machine.name} are "${names}"`, look, { timeoutMs: 20_000 }).catch(
    (error: Error) => expect.fail(`${error.message}: there are "${seen}"`),
  );
}

export function create(machine: Machine, ...args: readonly string[]): Promise<RunResult> {
  return machine.tryDocker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...args);
}

export async function mustCreate(machine: Machine, ...args: readonly string[]): Promise<void> {
  const { status, stderr } = await create(machine, ...args);
  expect(status, stderr).to.equal(0);
}

/** A container that greets on TCP port 9000. */
export async function serve(machine: Machine, network: string, ...args: readonly string[]): Promise<void> {
  const container = `${machine.name}-${network}`;
  const names = ['--name', container, '--hostname', container, '--network', network];
  await machine.docker('run', '-d', ...names, ...args, 'bb:1', 'sh', '-c', SERVE);
}

export async function containerOn(machine: Machine, network: string): Promise<RunningContainer> {
  const [container] = await running(machine, network);
  if (container === undefined) throw new Error(`no container of ${network} on ${machine.name}`);
  return container;
}

/** By machine, those of both networks. */
export async function containersOf(lab: Lab): Promise<RunningContainer[]> {
  const all = lab.machines.flatMap((machine) => NETWORKS.map(({ name }) => running(machine, name)));
  return (await Promise.all(all)).flat();
}

/** Ping and TCP from the container of one machine to that of the other, both ways. */
export async function expectTalk(lab: Lab, network: string): Promise<void> {
  const [h1, h2] = [lab.machine('h1'), lab.machine('h2')];
  for (const [from, to] of [
    [h1, h2],
    [h2, h1],
  ] as const) {
    const { ip, mac } = await containerOn(to, network);
    expect(mac).to.equal(macOfIp(ip));
    const script = `ping -c2 -i 0.2 -W2 ${ip} >/dev/null && nc -w 5 ${ip} 9000 </dev/null`;
    const said = await from.docker('exec', `${from.name}-${network}`, 'sh', '-c', script);
    expect(said).to.equal(`hello from ${to.name}-${network}`);
  }
}

/** What every container of the story asks for. */
export const LIMITED = ['-e', 'net_in=40mbit', '-e', 'net_out=30mbit'];

/** All containers have the limits that they ask for, both ways. */
export async function expectLimits(lab: Lab): Promise<void> {
  for (const machine of lab.machines) {
    for (const { name } of NETWORKS) {
      const sandbox = await sandboxOf(machine, `${machine.name}-${name}`);
      let rates: object = {};
      const look = async (): Promise<boolean> => {
        rates = await ratesIn(sandbox);
        return isDeepStrictEqual(rates, { out: 30e6, in: 40e6 });
      };
      await until(`${sandbox.name} has its limits`, look, { timeoutMs: 30_000 }).catch((error: Error) =>
        expect.fail(`${error.message}: ${JSON.stringify(rates)}`),
      );
    }
  }
}

/** Removes a network that must go. */
export function removeNetwork(machine: Machine, name: string): Promise<string> {
  return machine.docker('network', 'rm', name);
}
