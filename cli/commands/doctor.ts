/** `lanius doctor`: what is wrong on this host and what to do; exit status 1 if a check failed. */
import { formatTable } from '../../core/table.ts';
import { ADMIN_PATHS, type DoctorCheck, type DoctorReport } from '../../plugin/wire/admin.ts';
import { DaemonUnreachable } from '../admin-client.ts';
import type { Command } from '../command.ts';

export const doctor: Command = {
  words: ['doctor'],
  summary: 'Say what is wrong on this host and what to do about it',
  description: 'Exit status: 0 if no check failed (warnings do not count), 1 otherwise.',
  positionals: [],
  options: {},
  run: async (_input, { client, output }) => {
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
