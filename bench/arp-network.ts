/** The networks that the ARP benchmark compares, and when their settings are in force in every sandbox. */
import { running } from '../test/support/flat.ts';
import type { Lab } from '../test/support/lab.ts';
import type { Machine } from '../test/support/machine.ts';
import { until } from '../test/support/poll.ts';
import { run } from '../test/support/run.ts';
import { type Sandbox, sandboxesOf } from '../test/support/sandboxes.ts';
import type { Talker } from './arp-talk.ts';

export type ArpMode = 'off' | 'preload' | 'responder';

/** A /20 each: 4,096 addresses. */
const SUBNETS: Readonly<Record<ArpMode, readonly [subnet: string, gateway: string]>> = {
  off: ['10.80.0.0/20', '10.80.0.1'],
  preload: ['10.80.16.0/20', '10.80.16.1'],
  responder: ['10.80.32.0/20', '10.80.32.1'],
};
/** Without the network's and the broadcast address, the gateway and the container's own. */
const PLANNED = 4096 - 4;

export function createArpNetwork(machine: Machine, mode: ArpMode): Promise<string> {
  const [subnet, gateway] = SUBNETS[mode];
  const pool = ['--ipam-driver', 'lanius', '--subnet', subnet, '--gateway', gateway];
  const options = ['-o', 'parent=eth0', '-o', `arp=${mode}`];
  return machine.docker('network', 'create', '-d', 'lanius', ...pool, ...options, `arp-${mode}`);
}

/** Waits until every sandbox of the lab has what its network promises. */
export async function inForce(lab: Lab, mode: ArpMode): Promise<void> {
  if (mode === 'off') return;
  const sandboxes = (await Promise.all(lab.machines.map(sandboxesOf))).flatMap((found) => [
    ...found.values(),
  ]);
  for (const sandbox of sandboxes) {
    await until(`${mode} in force in ${sandbox.name}`, () => isInForce(sandbox, mode), { timeoutMs: 30_000 });
  }
}

async function isInForce(sandbox: Sandbox, mode: ArpMode): Promise<boolean> {
  const [words, found] = QUESTIONS[mode === 'preload' ? 'preload' : 'responder'];
  const { status, stdout } = await run(sandbox.command(words));
  return status === 0 && found(stdout);
}

const QUESTIONS: Readonly<
  Record<'preload' | 'responder', readonly [readonly string[], (out: string) => boolean]>
> = {
  preload: [
    ['ip', 'neigh', 'show', 'nud', 'permanent'],
    (out) => out.split('\n').filter((line) => line.includes(' lladdr ')).length >= PLANNED,
  ],
  responder: [['tc', 'filter', 'show', 'dev', 'eth0', 'egress'], (out) => out.includes('lanius-arp')],
};

/** All containers of a network, over all machines. */
export async function talkersOf(lab: Lab, network: string): Promise<Talker[]> {
  const lists = await Promise.all(
    lab.machines.map(async (machine) => {
      const [containers, sandboxes] = await Promise.all([running(machine, network), sandboxesOf(machine)]);
      return containers.map(({ name, ip }) => ({ ip, path: sandboxes.get(name)?.path ?? '' }));
    }),
  );
  return lists.flat();
}
