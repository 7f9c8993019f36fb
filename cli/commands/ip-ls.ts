/** `lanius ip ls`: which address is held by whom, or belongs to whom. */
import { ADMIN_PATHS, LEASE_STATES, type LeaseInfo } from '../../plugin/wire/admin.ts';
import { type Command, stringOption } from '../command.ts';

export const ipLs: Command = {
  words: ['ip', 'ls'],
  summary: 'List the leases and reservations of all hosts',
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
    output.table(
      leases,
      ['ADDRESS', 'POOL', 'STATE', 'NAME', 'HOST', 'CONTAINER', 'MAC ADDRESS', 'SINCE'],
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
      ]),
    );
    return 0;
  },
};
