/** `lanius pool rm`: removes an operator's pool that nothing uses. */
import { type OnePoolRequest, POOL_PATHS, type PoolOutcome } from '../../plugin/wire/admin-pools.ts';
import type { Command } from '../command.ts';

export const poolRm: Command = {
  words: ['pool', 'rm'],
  summary: 'Remove a pool that no network uses',
  description: 'Refused while networks, leases or reservations stand in it. There is no way around that.',
  positionals: ['NAME'],
  options: {},
  run: async (input, { client, output }) => {
    const [name = ''] = input.positionals;
    const request: OnePoolRequest = { pool: name };
    const outcome = await client.post<PoolOutcome>(POOL_PATHS.remove, request);
    output.value(outcome, () => `pool ${outcome.pool.name ?? name} (${outcome.pool.subnet}) is removed`);
    return 0;
  },
};
