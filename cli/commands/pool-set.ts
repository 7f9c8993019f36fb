/** `lanius pool set`: changes an operator's pool, online. */
import { POOL_PATHS, type PoolOutcome, type SetPoolRequest } from '../../plugin/wire/admin-pools.ts';
import { type Command, stringOption } from '../command.ts';
import { POOL_CHANGES, POOL_OPTIONS, RANGE_HELP, wishesOf } from '../pool-options.ts';

export const poolSet: Command = {
  words: ['pool', 'set'],
  summary: 'Change the ranges and settings of a pool',
  description:
    'Only what is given changes; --no-OPTION takes an option away (--no-gateway, --no-borrow). --range and --exclude\n' +
    'replace all ranges or excludes. What is leased outside of the new ranges stays until its containers end:\n' +
    `lanius pool show says how much that is.\n${RANGE_HELP}`,
  positionals: ['NAME'],
  options: {
    ...POOL_OPTIONS,
    ...POOL_CHANGES,
    subnet: { type: 'string', value: 'SUBNET', description: 'Cannot change; make another pool' },
  },
  run: async (input, { client, output }) => {
    const [name = ''] = input.positionals;
    if (stringOption(input, 'subnet') !== undefined) {
      output.complain(
        `pool ${name}: a subnet cannot change: grow or shrink the pool by its ranges (--add-range, --rm-range), or make another with lanius pool add`,
      );
      return 1;
    }
    const wishes = wishesOf(input);
    if (Object.keys(wishes).length === 0) {
      output.complain('pool set needs something to change; see lanius pool set --help');
      return 2;
    }
    const request: SetPoolRequest = { pool: name, ...wishes };
    const { pool, changed } = await client.post<PoolOutcome>(POOL_PATHS.set, request);
    output.value(
      { pool, changed },
      () => `pool ${pool.name ?? name} ${changed ? 'is changed' : 'is so already'}`,
    );
    return 0;
  },
};
