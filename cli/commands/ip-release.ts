/** `lanius ip release`: frees one address of this host by hand. */
import { ADMIN_PATHS, type LeaseInfo, type ReleaseRequest } from '../../plugin/wire/admin.ts';
import { type Command, stringOption } from '../command.ts';

export const ipRelease: Command = {
  words: ['ip', 'release'],
  summary: 'Free an address of this host by hand',
  description:
    'Reconciliation frees what nothing uses by itself; this is for what it keeps. An address that a running\n' +
    'container has is freed only with --force: it can then be given to another container, and both\n' +
    'have it. If nobody takes it, the next reconciliation gives it back to the container.',
  positionals: ['ADDRESS'],
  options: {
    pool: { type: 'string', value: 'SUBNET', description: 'Pool of the address, if several hold it' },
    force: { type: 'boolean', description: 'Also if a running container has the address' },
  },
  run: async (input, { client, output }) => {
    const [address = ''] = input.positionals;
    const pool = stringOption(input, 'pool');
    const request: ReleaseRequest = {
      address,
      ...(pool === undefined ? {} : { pool }),
      force: input.options['force'] === true,
    };
    const lease = await client.post<LeaseInfo>(ADMIN_PATHS.release, request);
    output.value(lease, () => {
      const holder = lease.containerName ?? lease.containerId ?? lease.endpointId;
      return `${lease.address} of pool ${lease.pool} is free${holder === undefined ? '' : `; it was held by ${holder}`}`;
    });
    return 0;
  },
};
