/** `lanius store check`: proves that what stands in etcd fits together, and repairs what does not. */
import {
  type CheckLine,
  type CheckReport,
  type FindingInfo,
  STORE_PATHS,
} from '../../plugin/wire/admin-store.ts';
import { linesOf } from '../admin-stream.ts';
import type { Command } from '../command.ts';
import { progressOf } from '../progress.ts';

export const storeCheck: Command = {
  words: ['store', 'check'],
  summary: 'Check that what stands in etcd fits together, and repair it',
  description:
    "Reads the whole store as it is at one moment: leases, hosts' indexes, names, pools, reservations. Changes\n" +
    'nothing without --repair; containers may start and stop meanwhile. docs/store.md explains each finding.\n' +
    'Exit status: 0 if nothing is found or all is repaired, 1 otherwise.',
  positionals: [],
  options: {
    repair: { type: 'boolean', description: 'Repair what can be repaired, and show the difference' },
  },
  run: async (input, { client, output }) => {
    const method = input.options['repair'] === true ? 'POST' : 'GET';
    const progress = progressOf('keys read');
    let report: CheckReport | undefined;
    for await (const line of linesOf(client, { method, path: STORE_PATHS.check })) {
      const told = JSON.parse(line) as Partial<CheckLine>;
      if (told.report === undefined) progress.tell(line);
      else report = told.report;
    }
    progress.end();
    if (report === undefined) throw new Error('the daemon ended without a report: see journalctl -u lanius');
    const { findings, more } = report;
    output.value(report, () => describe(report));
    const left = findings.filter(({ outcome }) => outcome !== 'repaired').length;
    return left === 0 && !more ? 0 : 1;
  },
};

function describe({ counts, findings, more, revision }: CheckReport): string {
  const { keys, pools, hosts, leases, inUse, reserved, names } = counts;
  const seen = `revision ${revision}: ${keys} keys, ${pools} pools, ${hosts} hosts, ${leases} leases (${inUse} in use, ${reserved} reserved), ${names} names`;
  const repaired = findings.filter(({ outcome }) => outcome === 'repaired').length;
  const sum =
    findings.length === 0
      ? 'nothing found'
      : `${findings.length} found, ${repaired} repaired${findings.some(({ diff, outcome }) => diff !== undefined && outcome === undefined) ? '; repair with --repair' : ''}`;
  const rest = more ? '\nthere is more to find: repair these, then check again' : '';
  return `${findings.map(textOf).join('')}${seen}\n${sum}${rest}\n`;
}

function textOf({ code, object, problem, diff = [], advice, outcome }: FindingInfo): string {
  const lines = [`${code}: ${object}: ${problem}`, ...diff.map((line) => `  ${line}`)];
  if (advice !== undefined) lines.push(`  a person has to decide: ${advice}`);
  if (outcome === 'repaired') lines.push('  repaired');
  if (outcome === 'changed') lines.push('  changed meanwhile: check again');
  return `${lines.join('\n')}\n`;
}
