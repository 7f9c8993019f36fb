/** `lanius limit ls`: what containers may receive and send, who says so, and whether it is in force. */
import { shortId } from '../../core/ids.ts';
import { formatTable } from '../../core/table.ts';
import { LIMIT_PATHS, type LimitInfo, type LimitReport } from '../../plugin/wire/admin-limits.ts';
import { type Command, stringOption } from '../command.ts';

export const limitLs: Command = {
  words: ['limit', 'ls'],
  summary: 'List the bandwidth limits of the containers of this host',
  description:
    'Then the limits that are set for names that no container has there. SOURCE says whose word counts: override (lanius\n' +
    'limit set), endpoint, env, label, network, pool, or cap. MENDED counts how often something in a container had undone its\n' +
    "limits since the start of the daemon. Other hosts' are as they have written them to their leases.",
  positionals: [],
  options: {
    host: { type: 'string', value: 'NAME', description: 'Of that host' },
    all: { type: 'boolean', short: 'a', description: 'Of all hosts' },
  },
  run: async (input, { client, output }) => {
    const all = input.options['all'] === true;
    const report = await client.get<LimitReport>(LIMIT_PATHS.list, {
      host: stringOption(input, 'host'),
      all: all ? 'true' : undefined,
    });
    output.value(report, () => `${limitTable(report, all)}${unusedTable(report)}`);
    return 0;
  },
};

function limitTable({ limits }: LimitReport, all: boolean): string {
  return formatTable(
    [
      ...(all ? ['HOST'] : []),
      'CONTAINER',
      'ADDRESS',
      'IN',
      'OUT',
      'SOURCE IN/OUT',
      'STATE',
      'HOW IN/OUT',
      'MENDED',
    ],
    limits.map((info) => [
      ...(all ? [info.host] : []),
      info.containerName ?? (info.containerId === undefined ? '' : shortId(info.containerId)),
      info.addresses.join(','),
      info.in?.limit ?? info.in?.rate ?? 'none',
      info.out?.limit ?? info.out?.rate ?? 'none',
      bothOf(info, 'source'),
      stateOf(info),
      bothOf(info, 'how'),
      info.mended === undefined ? '' : String(info.mended),
    ]),
  );
}

function bothOf({ in: inward, out }: LimitInfo, what: 'source' | 'how'): string {
  const [one, other] = [inward?.[what], out?.[what]];
  return one === undefined && other === undefined ? '' : `${one ?? '-'}/${other ?? '-'}`;
}

/** `in force`; else what is not, and why. */
function stateOf(info: LimitInfo): string {
  const said = (['in', 'out'] as const).flatMap((direction) => {
    const limit = info[direction];
    return limit === undefined ? [] : [{ direction, ...limit }];
  });
  if (said.length === 0) return '';
  const troubles = said.flatMap(({ direction, state, reason }) => {
    if (state === 'in force' && reason === undefined) return [];
    const what = state === 'in force' ? `${direction} in force` : `${direction} not in force`;
    return [reason === undefined ? what : `${what}: ${reason}`];
  });
  return troubles.length === 0 ? 'in force' : troubles.join('; ');
}

function unusedTable({ unused }: LimitReport): string {
  if (unused.length === 0) return '';
  const rows = unused.map(({ containerName, host, direction, limit, problem }) => [
    containerName,
    host ?? 'all',
    direction,
    limit ?? `cannot be read: ${problem ?? ''}`,
  ]);
  return `\nSet for names that no container has there:\n${formatTable(['CONTAINER', 'HOST', 'DIRECTION', 'LIMIT'], rows)}`;
}
