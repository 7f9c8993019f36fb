/** `lanius host ls`: every host that ever held an address, and whether its daemon lives. */
import { ADMIN_PATHS, type HostInfo } from '../../plugin/wire/admin.ts';
import type { Command } from '../command.ts';

export const hostLs: Command = {
  words: ['host', 'ls'],
  summary: 'List the hosts that share the pools',
  positionals: [],
  options: {},
  run: async (_input, { client, output }) => {
    const hosts = await client.get<HostInfo[]>(ADMIN_PATHS.hosts);
    output.table(
      hosts,
      ['HOST', 'ALIVE', 'HOSTNAME', 'VERSION', 'LEASES', 'FIRST SEEN', 'LABELS'],
      hosts.map((host) => [
        host.host,
        aliveText(host),
        host.hostname,
        host.version,
        String(host.leases),
        host.firstSeen,
        Object.entries(host.labels ?? {})
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
      ]),
    );
    return 0;
  },
};

function aliveText({ alive, deadSince }: HostInfo): string {
  if (alive) return 'yes';
  return deadSince === undefined ? 'no' : `no, since ${deadSince}`;
}
