/** Limits of running containers, as the journeys about them ask for them. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import { IMAGE } from './flat.ts';
import type { Machine } from './machine.ts';
import { until } from './poll.ts';
import { runOk } from './run.ts';
import { type Sandbox, sandboxOf } from './sandboxes.ts';
import { ratesIn } from './shapers.ts';

/** On the network `flat`; it does nothing. @param flags of `docker run` */
export async function startLimited(
  machine: Machine,
  name: string,
  flags: readonly string[] = [],
): Promise<Sandbox> {
  const words = ['--name', name, '--network', 'flat', ...flags];
  await machine.docker('run', '-d', ...words, IMAGE, 'sleep', '100000');
  return sandboxOf(machine, name);
}

/** Waits until exactly these limits are in force. @param rates by direction, in bits a second */
export async function expectRates(sandbox: Sandbox, rates: object, link = 'eth0'): Promise<void> {
  let seen: object = {};
  await until(
    `the limits of ${sandbox.name}`,
    async () => {
      seen = await ratesIn(sandbox, link);
      return isDeepStrictEqual(seen, rates);
    },
    { timeoutMs: 15_000, intervalMs: 30 },
  ).catch(() => expect(seen, sandbox.name).to.deep.equal(rates));
}

/** The name of the link with an address that begins so: engines count names differently. */
export async function linkWith(sandbox: Sandbox, beginning: string): Promise<string> {
  const lines = (await shIn(sandbox, 'ip -o -4 addr show')).split('\n');
  const line = lines.find((one) => one.includes(`inet ${beginning}`)) ?? '';
  return /^\d+:\s+(\S+)/.exec(line)?.[1] ?? 'none';
}

export function shIn(sandbox: Sandbox, script: string): Promise<string> {
  return runOk(sandbox.command(['sh', '-c', script]));
}
