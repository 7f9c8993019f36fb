/** `lanius doctor`: what is wrong on this host and what to do; exit status 1 if a check failed. */
import { formatTable } from '../../core/table.ts';
import {
  ADMIN_PATHS,
  type Belonging,
  type DoctorCheck,
  type DoctorReport,
  type LeakReport,
} from '../../plugin/wire/admin.ts';
import { DaemonUnreachable } from '../admin-client.ts';
import type { Command } from '../command.ts';

export const doctor: Command = {
  words: ['doctor'],
  summary: 'Say what is wrong on this host and what to do about it',
  description:
    'Exit status: 0 if no check failed (warnings do not count), 1 otherwise.\n' +
    'With --leaks: what of ours stands in the kernel of this host (links, VLANs, bridges, shims, routes, ARP responder) and\n' +
    'belongs to no network and no endpoint, after two looks a second apart; 0 if there is nothing, 1 otherwise.',
  positionals: [],
  options: {
    leaks: { type: 'boolean', description: 'Only what is left over on this host' },
    all: { type: 'boolean', short: 'a', description: 'With --leaks: also what has an owner' },
  },
  run: async (input, { client, output }) => {
    if (input.options['leaks'] === true) {
      const report = await client.get<LeakReport>(ADMIN_PATHS.leaks);
      output.value(report, () => describeLeaks(report, input.options['all'] === true));
      return report.ok ? 0 : 1;
    }
    const report = await client.get<DoctorReport>(ADMIN_PATHS.doctor).catch((error: unknown) => {
      if (error instanceof DaemonUnreachable) return withoutDaemon(error);
      throw error;
    });
    output.value(report, () => describe(report.checks));
    return report.ok ? 0 : 1;
  },
};

/** The daemon does the looking; if it is down, that is the finding. */
function withoutDaemon(error: DaemonUnreachable): DoctorReport {
  const [finding = '', remedy] = split(error.message);
  const check = { check: 'daemon', status: 'fail', finding } as const;
  return { ok: false, checks: [remedy === undefined ? check : { ...check, remedy }] };
}

/** `object and reason: remedy` */
function split(message: string): readonly string[] {
  const at = message.lastIndexOf(': ');
  return at < 0 ? [message] : [message.slice(0, at), message.slice(at + 2)];
}

function describeLeaks({ belongings }: LeakReport, all: boolean): string {
  const shown = belongings.filter(({ owner }) => all || owner === undefined);
  const rows = shown.map(({ kind, object, owner }: Belonging) => [kind, object, owner ?? 'nobody']);
  const leaks = belongings.filter(({ owner }) => owner === undefined).length;
  const table = rows.length === 0 ? '' : formatTable(['KIND', 'OBJECT', 'OWNER'], rows);
  return `${table}${leaks === 0 ? 'nothing is left over' : `${leaks} left over`}\n`;
}

function describe(checks: readonly DoctorCheck[]): string {
  const table = formatTable(
    ['STATUS', 'CHECK', 'FINDING'],
    checks.map(({ status, check, finding }) => [status, check, finding]),
  );
  const remedies = checks.flatMap(({ check, remedy }) =>
    remedy === undefined ? [] : [`${check}: ${remedy}`],
  );
  return remedies.length === 0
    ? table
    : `${table}\nWhat to do:\n${remedies.map((line) => `  ${line}\n`).join('')}`;
}
