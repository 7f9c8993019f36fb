/** `lanius pool add`: a pool that an operator makes. */
import { type AddPoolRequest, POOL_PATHS, type PoolOutcome } from '../../plugin/wire/admin-pools.ts';
import { type Command, stringOption } from '../command.ts';
import { POOL_OPTIONS, RANGE_HELP, wishesOf } from '../pool-options.ts';

export const poolAdd: Command = {
  words: ['pool', 'add'],
  summary: 'Make a pool, or take over one that docker network create has made',
  description:
    'Networks are made on it with docker network create --ipam-opt pool=NAME, or with its subnet. It stays when no\n' +
    'network uses it. The same command again does nothing.\n' +
    RANGE_HELP,
  positionals: ['NAME'],
  options: {
    subnet: { type: 'string', value: 'SUBNET', description: 'Subnet of the pool, e.g. 10.77.0.0/16; needed' },
    ...POOL_OPTIONS,
  },
  run: async (input, { client, output }) => {
    const [name = ''] = input.positionals;
    const subnet = stringOption(input, 'subnet');
    if (subnet === undefined) {
      output.complain('pool add needs --subnet; see lanius pool add --help');
      return 2;
    }
    const request: AddPoolRequest = { name, subnet, ...wishesOf(input) };
    const { pool, changed } = await client.post<PoolOutcome>(POOL_PATHS.add, request);
    output.value(
      { pool, changed },
      () => `pool ${name} (${pool.subnet}) ${changed ? 'is made' : 'is there already'}`,
    );
    return 0;
  },
};
