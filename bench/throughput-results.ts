/** What the throughput benchmark measured, as results with their limits. Pure. */
import { type Result, resultOf } from './report.ts';
import { median } from './statistics.ts';

export const SUBJECTS = ['lanius-macvlan', 'builtin-macvlan', 'lanius-bridge', 'host'] as const;
export type Subject = (typeof SUBJECTS)[number];
/** Gbit/s of one round. */
export type Rates = Readonly<Record<Subject, number>>;

/** The same link of the same kernel: as fast, but for what chance does. */
const LEAST = 0.98;

/** @param rounds at least one */
export function throughputResults(rounds: readonly Rates[]): Result[] {
  const of = (subject: Subject): number => median(rounds.map((rates) => rates[subject]));
  const result = (subject: Subject, what: string, reference: Subject, limit = {}): Result =>
    resultOf({
      id: `throughput.${subject}`,
      what: `${what}, one TCP stream, median of ${rounds.length}`,
      value: of(subject),
      unit: 'Gbit/s',
      reference: { what: NAMES[reference], value: of(reference) },
      ...limit,
    });
  return [
    result('lanius-macvlan', NAMES['lanius-macvlan'], 'builtin-macvlan', { atLeast: LEAST }),
    resultOf({
      id: 'throughput.lanius-macvlan.pairs',
      what: 'the same against built-in macvlan, median of the ratios of the rounds',
      value: median(rounds.map((rates) => rates['lanius-macvlan'] / rates['builtin-macvlan'])),
      unit: '×',
    }),
    result('lanius-bridge', NAMES['lanius-bridge'], 'host'),
    result('builtin-macvlan', NAMES['builtin-macvlan'], 'host'),
  ];
}

const NAMES: Readonly<Record<Subject, string>> = {
  'lanius-macvlan': 'Lanius macvlan',
  'builtin-macvlan': 'built-in macvlan',
  'lanius-bridge': 'Lanius bridge mode',
  host: 'host to host',
};
