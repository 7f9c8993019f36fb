/** `lanius host forget`: frees what a dead host has in etcd. */

import {
  type DeadHost,
  type ForgetProgress,
  HOST_PATHS,
  type HostRequest,
} from '../../plugin/wire/admin-hosts.ts';
import type { AdminClient } from '../admin-client.ts';
import type { Command } from '../command.ts';

export const hostForget: Command = {
  words: ['host', 'forget'],
  summary: 'Free the addresses of a host that is gone',
  description:
    'Only for a host whose daemon is dead. Containers outlive the daemon: make sure that the host is off, or its\n' +
    'addresses may be given to others while they are in use. Should the host come back, it takes back what its\n' +
    'containers still have, as far as nobody else has it.',
  positionals: ['NAME'],
  options: { yes: { type: 'boolean', short: 'y', description: 'Do not ask' } },
  run: async (input, { client, output, ask }) => {
    const [host = ''] = input.positionals;
    const dead = await client.get<DeadHost>(HOST_PATHS.dead, { host });
    if (input.options['yes'] !== true) {
      if (ask === undefined) {
        output.complain(`host ${host} has ${countsOf(dead)}: say --yes to free all of it`);
        return 2;
      }
      const answer = await ask(`${questionOf(dead)} [y/N] `);
      if (!/^y(es)?$/i.test(answer.trim())) {
        output.complain('nothing was changed');
        return 1;
      }
    }
    const freed = await forget(host, client, dead, (text) => output.note(text));
    output.value({ host, ...freed }, () => `host ${host} is forgotten: ${countsOf(freed)} freed`);
    return 0;
  },
};

/** Part by part, and says how far it is. */
async function forget(
  host: string,
  client: AdminClient,
  all: DeadHost,
  tell: (text: string) => void,
): Promise<Counts> {
  const request: HostRequest = { host };
  const sum = { leases: 0, holds: 0, uses: 0 };
  for (;;) {
    const part = await client.post<ForgetProgress>(HOST_PATHS.forget, request).catch((error: unknown) => {
      if (sum.leases > 0) tell(`${sum.leases} of ${all.leases} addresses were freed`);
      throw error;
    });
    sum.leases += part.leases;
    sum.holds += part.holds;
    sum.uses += part.uses;
    if (part.done) return sum;
    tell(`${sum.leases} of ${all.leases} addresses freed`);
  }
}

interface Counts {
  readonly leases: number;
  readonly holds: number;
  readonly uses: number;
}

function questionOf(dead: DeadHost): string {
  const since = dead.deadSince === undefined ? '' : ` since ${dead.deadSince}`;
  return (
    `host ${dead.host} has no daemon${since}, and ${countsOf(dead)}. ` +
    'Containers that still run there would share these addresses with others. Free all of it?'
  );
}

function countsOf({ leases, holds, uses }: Counts): string {
  return `${count(leases, 'address', 'es')}, ${count(holds, 'gateway or auxiliary address', 'es')}, ${count(uses, 'pool', 's')}`;
}

function count(number: number, what: string, plural: string): string {
  return `${number} ${what}${number === 1 ? '' : plural}`;
}
