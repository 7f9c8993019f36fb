/** `lanius top`: what the containers of this host receive and send, live. */
import { setTimeout as sleep } from 'node:timers/promises';
import { shortId } from '../../core/ids.ts';
import { formatTable } from '../../core/table.ts';
import { LIMIT_PATHS, type UsageInfo } from '../../plugin/wire/admin-limits.ts';
import { type Command, stringOption } from '../command.ts';

const SORTS = ['in', 'out'];
const SHORTEST_MS = 100;

export const top: Command = {
  words: ['top'],
  summary: 'Show what the containers of this host receive and send, live',
  description:
    'Rates are over the last second and the last ten, of whole frames; DROPS are by the limit. At a terminal the table is\n' +
    'refreshed in place until Ctrl-C, elsewhere one is printed after each interval (with -o json one line).',
  positionals: [],
  options: {
    interval: { type: 'string', value: 'TIME', description: 'Between two tables: 1s, 500ms (default 1s)' },
    once: { type: 'boolean', description: 'Print one table, after one interval, and end' },
    sort: {
      type: 'string',
      value: 'in|out',
      description: 'By what they receive or send (default both together)',
    },
  },
  run: async (input, { client, output }) => {
    const sort = stringOption(input, 'sort');
    const intervalMs = millisecondsOf(stringOption(input, 'interval') ?? '1s');
    if (intervalMs === undefined || (sort !== undefined && !SORTS.includes(sort))) {
      output.complain(
        intervalMs === undefined
          ? `--interval takes a time from ${SHORTEST_MS}ms to 1h: 1s, 500ms; see lanius top --help`
          : '--sort takes in or out; see lanius top --help',
      );
      return 2;
    }
    const once = input.options['once'] === true;
    const look = (): Promise<UsageInfo[]> => client.get<UsageInfo[]>(LIMIT_PATHS.usage);
    // The first question makes the daemon count every second; only the second answer has rates of now.
    let usage = await look();
    for (;;) {
      const shown = [...usage].sort((a, b) => rateOf(b, sort) - rateOf(a, sort));
      if (once) {
        await sleep(intervalMs);
        usage = (await look()).sort((a, b) => rateOf(b, sort) - rateOf(a, sort));
        output.value(usage, () => tableOf(usage));
        return 0;
      }
      output.live(shown, () => tableOf(shown));
      await sleep(intervalMs);
      usage = await look();
    }
  },
};

function tableOf(usage: readonly UsageInfo[]): string {
  return formatTable(
    [
      'CONTAINER',
      'ADDRESS',
      'IN',
      'LIMIT',
      'OUT',
      'LIMIT',
      'IN 10s',
      'OUT 10s',
      'DROPS IN/OUT',
      'TOTAL IN/OUT',
    ],
    usage.map(({ containerName, containerId, endpointId, addresses, in: inward, out }) => [
      containerName ?? shortId(containerId ?? endpointId),
      addresses.join(','),
      rateText(inward.bitsPerSecondOver1s),
      rateText(inward.limitBitsPerSecond, 'none'),
      rateText(out.bitsPerSecondOver1s),
      rateText(out.limitBitsPerSecond, 'none'),
      rateText(inward.bitsPerSecondOver10s),
      rateText(out.bitsPerSecondOver10s),
      `${inward.drops}/${out.drops}`,
      `${bytesText(inward.bytes)}/${bytesText(out.bytes)}`,
    ]),
  );
}

function rateOf({ in: inward, out }: UsageInfo, sort: string | undefined): number {
  const [received, sent] = [inward.bitsPerSecondOver1s ?? 0, out.bitsPerSecondOver1s ?? 0];
  if (sort === undefined) return received + sent;
  return sort === 'in' ? received : sent;
}

/** Three digits are enough for eyes: `94.9 Mbit/s`. */
function rateText(bitsPerSecond: number | undefined, absent = ''): string {
  return bitsPerSecond === undefined ? absent : `${scaled(bitsPerSecond)}bit/s`;
}

function bytesText(bytes: number): string {
  return `${scaled(bytes)}B`;
}

/** Decimal, as the limits are: `1.50 G`. */
function scaled(value: number): string {
  const [unit, factor] = SCALES.find(([, least]) => value >= least) ?? ['', 1];
  const digits = value / factor;
  const text = factor === 1 ? String(digits) : digits.toPrecision(digits >= 999.5 ? 4 : 3);
  return `${text} ${unit}`;
}

const SCALES: readonly (readonly [string, number])[] = [
  ['T', 1e12],
  ['G', 1e9],
  ['M', 1e6],
  ['k', 1e3],
];

/** @returns undefined for what is no span of time, or too short or long a one */
function millisecondsOf(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,7}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const ms = Number(digits) * (unit === 'ms' ? 1 : unit === 'm' ? 60_000 : 1000);
  return ms >= SHORTEST_MS && ms <= 3_600_000 ? ms : undefined;
}
