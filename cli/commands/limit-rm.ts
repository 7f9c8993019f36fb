/** `lanius limit rm`: takes away what was set; what the container says itself counts again. */
import { LIMIT_PATHS, type LimitChange, type RemoveLimitRequest } from '../../plugin/wire/admin-limits.ts';
import { type Command, stringOption } from '../command.ts';
import { outcomeText, settled } from '../limit-outcome.ts';

const WAIT_MS = 2000;

export const limitRm: Command = {
  words: ['limit', 'rm'],
  summary: 'Take away what lanius limit set has set',
  description:
    'Then what the container says itself counts again, or its network, or its pool. To have no limit at all:\n' +
    'lanius limit set CONTAINER --in none --out none. Without --in and --out both are taken away.',
  positionals: ['CONTAINER'],
  options: {
    in: { type: 'boolean', description: 'Only what it may receive' },
    out: { type: 'boolean', description: 'Only what it may send' },
    host: {
      type: 'string',
      value: 'NAME',
      description: 'What was set with --host; not what counts on all hosts',
    },
  },
  run: async (input, { client, output }) => {
    const [container = ''] = input.positionals;
    const said = (['in', 'out'] as const).filter((direction) => input.options[direction] === true);
    const host = stringOption(input, 'host');
    const request: RemoveLimitRequest = {
      container,
      ...(host === undefined ? {} : { host }),
      directions: said.length === 0 ? ['in', 'out'] : said,
    };
    const change = await client.post<LimitChange>(LIMIT_PATHS.remove, request);
    const { leases } = change.changed ? await settled(client, change, WAIT_MS) : change;
    output.value({ ...change, leases }, () => textOf({ ...change, leases }));
    return 0;
  },
};

function textOf({ containerName, host, changed, leases }: LimitChange): string {
  const where = host === undefined ? 'for all hosts' : `for host ${host}`;
  const what = changed ? `what was set ${where} is taken away` : `nothing is set ${where}`;
  return `${[`${containerName}: ${what}`, ...leases.map(outcomeText)].join('\n')}\n`;
}
