/** Help texts of every level: `lanius`, `lanius ip`, `lanius ip release`. docs/cli.md is made of them. */
import type { Command, OptionSpec } from './command.ts';
import { commands, otherPrograms } from './commands/all.ts';

/** Options that every command has. */
export const GLOBAL_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    description: 'table, wide (with more columns) or json (default table)',
  },
  socket: {
    type: 'string',
    value: 'PATH',
    description: 'Admin socket of the daemon (default $LANIUS_ADMIN_SOCKET or /run/lanius/admin.sock)',
  },
  help: { type: 'boolean', short: 'h', description: 'Print this help' },
};

/** First words that lead to several commands: network, pool, ip, host. */
export function groups(): string[] {
  return [...new Set(commands.filter(({ words }) => words.length > 1).map(({ words }) => words[0] ?? ''))];
}

export function mainHelp(): string {
  const rows = [
    ...commands.map((command) => [command.words.join(' '), command.summary]),
    ...otherPrograms.map(({ word, summary }) => [word, summary]),
  ];
  return (
    'Usage: lanius COMMAND [OPTIONS]\n\n' +
    'An own IP address for every container, leased from etcd.\n\n' +
    `Commands:\n${columns(rows)}\nOptions:\n${columns(optionRows(GLOBAL_OPTIONS))}\n` +
    'Exit status: 0, 1 if something failed, 2 if the command line is wrong.\n'
  );
}

export function groupHelp(group: string): string {
  const rows = commands
    .filter(({ words }) => words[0] === group)
    .map((command) => [command.words.slice(1).join(' '), command.summary]);
  return `Usage: lanius ${group} COMMAND [OPTIONS]\n\nCommands:\n${columns(rows)}`;
}

export function commandHelp(command: Command): string {
  const usage = ['lanius', ...command.words, ...command.positionals, '[OPTIONS]'].join(' ');
  const description = command.description === undefined ? '' : `\n${command.description}\n`;
  const options = optionRows({ ...command.options, ...GLOBAL_OPTIONS });
  return `Usage: ${usage}\n\n${command.summary}.\n${description}\nOptions:\n${columns(options)}`;
}

function optionRows(options: Readonly<Record<string, OptionSpec>>): string[][] {
  return Object.entries(options).map(([name, option]) => [
    `${option.short === undefined ? '    ' : `-${option.short}, `}--${name}${option.value === undefined ? '' : ` ${option.value}`}`,
    option.description,
  ]);
}

function columns(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([left = '']) => left.length));
  return rows.map(([left = '', right = '']) => `  ${left.padEnd(width)}  ${right}\n`).join('');
}
