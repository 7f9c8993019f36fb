/** `lanius ip ls`: which address is held by whom. */
import { ADMIN_PATHS, type LeaseInfo } from '../../plugin/wire/admin.ts';
import { type Command, stringOption } from '../command.ts';

export const ipLs: Command = {
  words: ['ip', 'ls'],
  summary: 'List the leases and reservations of all hosts',
  positionals: [],
  options: {
    pool: { type: 'string', value: 'SUBNET', description: 'Only of this pool, e.g. 10.77.0.0/16' },
    host: { type: 'string', value: 'NAME', description: 'Only of this host' },
  },
  run: async (input, { client, output }) => {
    const leases = await client.get<LeaseInfo[]>(ADMIN_PATHS.leases, {
      pool: stringOption(input, 'pool'),
      host: stringOption(input, 'host'),
    });
    output.table(
      leases,
      ['ADDRESS', 'POOL', 'STATE', 'HOST', 'CONTAINER', 'MAC ADDRESS', 'SINCE'],
      leases.map((lease) => [
        lease.address,
        lease.pool,
        lease.role === undefined ? lease.state : `${lease.state} (${lease.role})`,
        lease.host,
        lease.containerName ?? lease.containerId?.slice(0, 12) ?? '',
        lease.macAddress ?? '',
        lease.since,
      ]),
    );
    return 0;
  },
};
