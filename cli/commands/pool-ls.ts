/** `lanius pool ls`: every pool in etcd with its counts. */
import { ADMIN_PATHS, type PoolInfo } from '../../plugin/wire/admin.ts';
import type { Command } from '../command.ts';

export const poolLs: Command = {
  words: ['pool', 'ls'],
  summary: 'List the address pools of all hosts, with their counts',
  positionals: [],
  options: {},
  run: async (_input, { client, output }) => {
    const pools = await client.get<PoolInfo[]>(ADMIN_PATHS.pools);
    output.table(
      pools,
      ['NAME', 'POOL', 'GATEWAY', 'USABLE', 'LEASED', 'RESERVED', 'FREE', 'HOSTS'],
      pools.map((pool) => [
        pool.name ?? '',
        pool.pool,
        pool.gateway ?? '',
        ...[pool.usable, pool.leased, pool.reserved, pool.free].map(countText),
        // Hosts are counted by etcd, too.
        countText(pool.leased === undefined ? undefined : pool.hosts.length),
      ]),
    );
    return 0;
  },
};

function countText(count: number | undefined): string {
  return count === undefined ? '?' : String(count);
}
