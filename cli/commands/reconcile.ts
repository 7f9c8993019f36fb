/** `lanius reconcile`: compare leases, engine and kernel now, and mend or only say what differs. */
import { formatTable } from '../../core/table.ts';
import { ADMIN_PATHS, type ReconcileReport, type ReconcileRequest } from '../../plugin/wire/admin.ts';
import type { Command } from '../command.ts';

export const reconcile: Command = {
  words: ['reconcile'],
  summary: 'Free what a crash left behind on this host, now',
  description:
    'Compares the leases of this host with what the engine and the kernel show, in two looks some seconds apart.\n' +
    'What both looks find unused is freed. The daemon does this by itself at every start and from time to time.',
  positionals: [],
  options: {
    'dry-run': { type: 'boolean', description: 'Only say what would be done' },
    all: { type: 'boolean', short: 'a', description: 'Print also what is kept' },
  },
  run: async (input, { client, output }) => {
    const request: ReconcileRequest = { dryRun: input.options['dry-run'] === true };
    const report = await client.post<ReconcileReport>(ADMIN_PATHS.reconcile, request);
    output.value(report, () => describe(report, input.options['all'] === true));
    return report.problem === undefined ? 0 : 1;
  },
};

function describe(report: ReconcileReport, all: boolean): string {
  const changes = report.decisions.filter(({ action }) => action !== 'keep');
  const shown = all ? report.decisions : changes;
  const table =
    shown.length === 0
      ? ''
      : formatTable(
          ['ACTION', 'KIND', 'OBJECT', 'REASON'],
          shown.map(({ action, kind, object, reason }) => [action, kind, object, reason]),
        );
  const kept = report.decisions.length - changes.length;
  const counts = `${changes.length} ${report.dryRun ? 'would change' : 'changed or waiting'}, ${kept} kept`;
  return `${table}${report.problem === undefined ? counts : `nothing was changed: ${report.problem}`}\n`;
}
