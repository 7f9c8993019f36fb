/** `lanius reconcile`: compare leases, engine and kernel now, and mend or only say what differs. */
import { formatTable } from '../../core/table.ts';
import { ADMIN_PATHS, type ReconcileReport, type ReconcileRequest } from '../../plugin/wire/admin.ts';
import type { Command } from '../command.ts';

export const reconcile: Command = {
  words: ['reconcile'],
  summary: 'Free what a crash left behind on this host, now',
  description:
    'Compares the leases of this host with what the engine and the kernel show, in two looks some seconds apart.\n' +
    'What both looks find unused is freed. The daemon does this by itself at every start and from time to time.\n' +
    'A conflict is an address that is in use here although etcd gives it to another host; nothing is done about it.',
  positionals: [],
  options: {
    'dry-run': { type: 'boolean', description: 'Only say what would be done' },
    all: { type: 'boolean', short: 'a', description: 'Print also what is kept' },
  },
  run: async (input, { client, output }) => {
    const request: ReconcileRequest = { dryRun: input.options['dry-run'] === true };
    const report = await client.post<ReconcileReport>(ADMIN_PATHS.reconcile, request);
    output.value(report, () => describe(report, input.options['all'] === true));
    const conflicts = report.decisions.some(({ action }) => action === 'conflict');
    return report.problem === undefined && !conflicts ? 0 : 1;
  },
};

function describe({ decisions, dryRun, problem }: ReconcileReport, all: boolean): string {
  const shown = all ? decisions : decisions.filter(({ action }) => action !== 'keep');
  const table =
    shown.length === 0
      ? ''
      : formatTable(
          ['ACTION', 'KIND', 'OBJECT', 'REASON'],
          shown.map(({ action, kind, object, reason }) => [action, kind, object, reason]),
        );
  const count = (...actions: readonly string[]): number =>
    decisions.filter(({ action }) => actions.includes(action)).length;
  const [kept, waiting, conflicts] = [count('keep'), count('wait'), count('conflict')];
  const changes = decisions.length - kept - waiting - conflicts;
  const counts = [`${changes} ${dryRun ? 'would change' : 'changed'}`, `${kept} kept`];
  if (waiting > 0) counts.push(`${waiting} waiting`);
  if (conflicts > 0) counts.push(`${conflicts} in conflict`);
  const result = problem === undefined ? counts.join(', ') : `nothing was changed: ${problem}`;
  return `${table}${result}\n`;
}
