/** `lanius pool show`: all of one pool, with its counts. */
import { formatSeconds } from '../../core/duration.ts';
import { formatTable } from '../../core/table.ts';
import { POOL_PATHS, type PoolReport } from '../../plugin/wire/admin-pools.ts';
import type { Command } from '../command.ts';

export const poolShow: Command = {
  words: ['pool', 'show'],
  summary: 'Print the settings of a pool, and what is taken of each range',
  description:
    'DRAINING counts leases outside of the present ranges, or in excludes: nothing new is given out there, and they\n' +
    'go with their containers.',
  positionals: ['NAME|SUBNET'],
  options: {},
  run: async (input, { client, output }) => {
    const [pool = ''] = input.positionals;
    const report = await client.get<PoolReport>(POOL_PATHS.show, { pool });
    output.value(report, () => describe(report));
    return 0;
  },
};

function describe(report: PoolReport): string {
  const { pool, leasedBy } = report;
  const { defaults = {} } = pool;
  const select = typeof pool.select === 'object' ? labels(pool.select) : pool.select;
  const rows: [string, string | number | undefined][] = [
    ['Name', pool.name],
    ['Subnet', pool.subnet],
    ['Gateway', pool.gateway],
    ['VLAN', pool.vlan],
    ['Select', select],
    ['Borrow', pool.borrow === true ? 'yes' : 'no'],
    ['Quota per host', pool.quotaPerHost],
    ['Cooling', seconds(pool.coolingSeconds)],
    ['Sticky', pool.sticky === true ? 'yes' : 'no'],
    ['Keep', seconds(pool.keepSeconds)],
    ['MAC prefix', pool.macPrefix],
    ['Default net_in', defaults.netIn],
    ['Default net_out', defaults.netOut],
    ['Default arp', defaults.arp],
    ['Excludes', report.excludes.join(', ')],
    [
      'Leased',
      counted(
        report.leased,
        leasedBy.map(({ host, leases }) => `${host}: ${leases}`),
      ),
    ],
    ['Reserved', report.reserved],
    ['Cooling now', report.cooling],
    ['Draining', report.draining],
    ['Networks on', report.hosts.join(', ')],
    ['Made by', `${pool.madeBy}, ${new Date(pool.at).toISOString()}`],
  ];
  const shown = rows.map(
    ([name, value]) => `${`${name}:`.padEnd(17)}${value === undefined || value === '' ? '-' : value}\n`,
  );
  const ranges = formatTable(
    ['RANGE', 'SIZE', 'TAKEN', 'FREE'],
    report.ranges.map(({ range, size, taken, free }) => [range, ...[size, taken, free].map(String)]),
  );
  return `${shown.join('')}\n${ranges}`;
}

function labels(selector: Readonly<Record<string, string>>): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function seconds(value: number | undefined): string | undefined {
  return value === undefined ? undefined : formatSeconds(value);
}

function counted(count: number, parts: readonly string[]): string {
  return parts.length === 0 ? String(count) : `${count} (${parts.join(', ')})`;
}
