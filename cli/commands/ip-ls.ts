/** `lanius ip ls`: which address is held by whom, or belongs to whom. */
import { ADMIN_PATHS, LEASE_STATES, type LeaseInfo } from '../../plugin/wire/admin.ts';
import { type Command, stringOption } from '../command.ts';

export const ipLs: Command = {
  words: ['ip', 'ls'],
  summary: 'List the leases and reservations of all hosts',
  description:
    '-o wide: also the limits of each container, as its host has written them; ! stands behind one that is not in force.',
  positionals: [],
  options: {
    pool: { type: 'string', value: 'POOL', description: 'Only of this pool, by subnet or name' },
    host: { type: 'string', value: 'NAME', description: 'Only what this host holds' },
    name: {
      type: 'string',
      value: 'NAME',
      description: 'Only what belongs to this name, or its container has',
    },
    state: { type: 'string', value: 'STATE', description: `Only in this state: ${LEASE_STATES.join(', ')}` },
  },
  run: async (input, { client, output }) => {
    const leases = await client.get<LeaseInfo[]>(ADMIN_PATHS.leases, {
      pool: stringOption(input, 'pool'),
      host: stringOption(input, 'host'),
      name: stringOption(input, 'name'),
      state: stringOption(input, 'state'),
    });
    const wide = output.format === 'wide';
    output.table(
      leases,
      ['ADDRESS', 'POOL', 'STATE', 'NAME', 'HOST', 'CONTAINER', 'MAC ADDRESS', 'SINCE'].concat(
        wide ? ['LIMITS IN/OUT'] : [],
      ),
      leases.map((lease) => [
        lease.address,
        lease.pool,
        lease.role === undefined ? lease.state : `${lease.state} (${lease.role})`,
        lease.name ?? '',
        // A reservation is no host's; the record only says who had the address last.
        lease.state === 'reserved' ? '' : lease.host,
        lease.containerName ?? lease.containerId?.slice(0, 12) ?? '',
        lease.macAddress ?? '',
        lease.since,
        ...(wide ? [limitsText(lease)] : []),
      ]),
    );
    return 0;
  },
};

/** `100mbit/none`; with `!` where it is not in force. */
function limitsText({ limits }: LeaseInfo): string {
  if (limits === undefined) return '';
  return [limits.in, limits.out]
    .map((limit) => (limit === undefined ? '-' : `${limit.rate}${limit.state === 'in force' ? '' : '!'}`))
    .join('/');
}
