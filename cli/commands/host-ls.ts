/** `lanius host ls`: every host that ever held an address, and whether its daemon lives. */
import { formatRate } from '../../core/rate.ts';
import { ADMIN_PATHS, type HostInfo } from '../../plugin/wire/admin.ts';
import type { Command } from '../command.ts';

export const hostLs: Command = {
  words: ['host', 'ls'],
  summary: 'List the hosts that share the pools',
  description:
    '-o wide: also what is free of the bandwidth of each parent, for containers to receive and to send.',
  positionals: [],
  options: {},
  run: async (_input, { client, output }) => {
    const hosts = await client.get<HostInfo[]>(ADMIN_PATHS.hosts);
    const wide = output.format === 'wide';
    output.table(
      hosts,
      ['HOST', 'ALIVE', 'HOSTNAME', 'VERSION', 'LEASES', 'FIRST SEEN', 'LABELS'].concat(
        wide ? ['FREE BANDWIDTH IN/OUT'] : [],
      ),
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
        ...(wide ? [bandwidthText(host)] : []),
      ]),
    );
    return 0;
  },
};

function aliveText({ alive, deadSince }: HostInfo): string {
  if (alive) return 'yes';
  return deadSince === undefined ? 'no' : `no, since ${deadSince}`;
}

/** `eth0 900mbit/1gbit`; `?` where the capacity is not known. */
function bandwidthText({ bandwidth = {} }: HostInfo): string {
  return Object.entries(bandwidth)
    .map(([parent, { freeInBitsPerSecond, freeOutBitsPerSecond }]) => {
      const [inward, out] = [freeInBitsPerSecond, freeOutBitsPerSecond].map(freeText);
      return `${parent} ${inward}/${out}`;
    })
    .join(', ');
}

function freeText(bitsPerSecond: number | undefined): string {
  if (bitsPerSecond === undefined) return '?';
  return bitsPerSecond === 0 ? '0' : formatRate(bitsPerSecond);
}
