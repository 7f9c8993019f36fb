/** `lanius limit set`: a limit by container name, put in force by every host that has such a container. */
import { LIMIT_PATHS, type LimitChange, type SetLimitRequest } from '../../plugin/wire/admin-limits.ts';
import { type Command, type CommandInput, type OptionSpec, stringOption } from '../command.ts';
import { outcomeText, settled } from '../limit-outcome.ts';

const USUAL_WAIT_MS = 2000;
const LONG_WAIT_MS = 60_000;

const partOptions = (direction: 'in' | 'out'): Record<string, OptionSpec> => ({
  [`${direction}-burst`]: {
    type: 'string',
    value: 'SIZE',
    description: `What may pass at once, e.g. 64kb; goes with --${direction}`,
  },
  [`${direction}-peak`]: { type: 'string', value: 'RATE', description: 'The rate within a burst' },
  [`${direction}-min`]: {
    type: 'string',
    value: 'RATE',
    description: 'What the container has for sure; only where the network says -o enforce=host',
  },
});

export const limitSet: Command = {
  words: ['limit', 'set'],
  summary: 'Set what the containers of a name may receive and send, live',
  description:
    'It is stronger than all that the container says itself, and counts for every container of that name, also for those\n' +
    'that come later; with --host only for those of that host. RATE is 500 (kbit/s), 100mbit, 1.5gbit or none. What is set\n' +
    'replaces all that was set before of that direction. Prints what is in force after two seconds at most.\n' +
    'Exit status: 0; with --wait 1 if it is not in force after a minute.',
  positionals: ['CONTAINER'],
  options: {
    in: {
      type: 'string',
      value: 'RATE',
      description: 'What it may receive; none: no limit, whatever others say',
    },
    out: { type: 'string', value: 'RATE', description: 'What it may send' },
    ...partOptions('in'),
    ...partOptions('out'),
    host: {
      type: 'string',
      value: 'NAME',
      description: 'Only on this host; goes before a limit for all hosts',
    },
    wait: { type: 'boolean', description: 'Wait until it is in force' },
  },
  run: async (input, { client, output }) => {
    const [container = ''] = input.positionals;
    const [inward, out] = [textsOf(input, 'in'), textsOf(input, 'out')];
    if (inward === undefined && out === undefined) {
      output.complain('limit set needs --in or --out; see lanius limit set --help');
      return 2;
    }
    const host = stringOption(input, 'host');
    const request: SetLimitRequest = {
      container,
      ...(host === undefined ? {} : { host }),
      ...(inward === undefined ? {} : { in: inward }),
      ...(out === undefined ? {} : { out }),
    };
    const change = await client.post<LimitChange>(LIMIT_PATHS.set, request);
    const waits = input.options['wait'] === true;
    const { done, leases } = await settled(client, change, waits ? LONG_WAIT_MS : USUAL_WAIT_MS);
    const inForce = leases.length > 0 && done && leases.every(({ limits }) => isInForce(change, limits));
    output.value({ ...change, leases, inForce }, () => textOf({ ...change, leases }, done));
    // Where no container has the name there is nothing to wait for.
    return waits && leases.length > 0 && !inForce ? 1 : 0;
  },
};

function textsOf(input: CommandInput, direction: 'in' | 'out'): SetLimitRequest['in'] {
  const rate = stringOption(input, direction);
  const [burst, peak, min] = ['burst', 'peak', 'min'].map((part) =>
    stringOption(input, `${direction}-${part}`),
  );
  const texts = {
    ...(rate === undefined ? {} : { rate }),
    ...(burst === undefined ? {} : { burst }),
    ...(peak === undefined ? {} : { peak }),
    ...(min === undefined ? {} : { min }),
  };
  return Object.keys(texts).length === 0 ? undefined : texts;
}

function isInForce({ set }: LimitChange, limits: LimitChange['leases'][number]['limits']): boolean {
  return (['in', 'out'] as const).every(
    (direction) => set[direction] === undefined || limits[direction]?.state === 'in force',
  );
}

function textOf({ containerName, host, set, leases }: LimitChange, done: boolean): string {
  const said = Object.entries(set).map(([direction, limit]) => `${direction} ${limit ?? ''}`);
  const where = host === undefined ? 'on all hosts' : `on host ${host}`;
  const lines = [`${containerName}: ${said.join('; ')} is set ${where}`, ...leases.map(outcomeText)];
  if (leases.length === 0) lines.push('no container has that name now: it counts from its start on');
  else if (!done) lines.push('not all of it is told to be in force yet: see lanius limit ls --all');
  return `${lines.join('\n')}\n`;
}
