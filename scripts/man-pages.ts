/**
 * Manual pages, written from the help texts of the commands and the schema of the configuration: lanius(1), one page a
 * command (lanius-ip-release(1)) and the settings (lanius-config(5)). They are made when a package is built.
 *
 * @see man(7), groff_man(7)
 */
import type { Command, OptionSpec } from '../cli/command.ts';
import { commands, otherPrograms } from '../cli/commands/all.ts';
import { commandHelp, GLOBAL_OPTIONS, mainHelp } from '../cli/help.ts';
import { DEFAULT_CONFIG_FILE } from '../daemon/config.ts';
import { CONFIG_HELP, DAEMON_HELP } from '../daemon/config-command.ts';
import { configKeys, nodeAt, type SchemaNode } from '../daemon/config-keys.ts';
import { PURGE_HELP } from '../daemon/purge-help.ts';

export interface ManOptions {
  readonly version: string;
  /** `2026-11-30` */
  readonly date: string;
}

/** By file name, e.g. `lanius-ip-release.1`. */
export function manPages(options: ManOptions): Readonly<Record<string, string>> {
  const pages: Record<string, string> = {
    'lanius.1': mainPage(options),
    'lanius-config.5': configPage(options),
  };
  for (const command of commands) pages[`${pageOf(command.words)}.1`] = commandPage(command, options);
  const helps: Readonly<Record<string, string>> = {
    daemon: DAEMON_HELP,
    config: CONFIG_HELP,
    purge: PURGE_HELP,
  };
  for (const { word, summary } of otherPrograms) {
    const title = head(`lanius-${word}`, 1, options);
    pages[`lanius-${word}.1`] =
      `${title}${nameSection(`lanius-${word}`, summary)}${verbatim(helps[word] ?? '')}${seeAlso()}`;
  }
  return pages;
}

function mainPage(options: ManOptions): string {
  const lines = [
    head('lanius', 1, options),
    nameSection('lanius', 'an own IP address for every container, leased from etcd'),
    section('SYNOPSIS', '.B lanius\n.I COMMAND\n[\n.I OPTIONS\n]\n'),
    section(
      'COMMANDS',
      commands.map(({ words, summary }) => tagged(bold(`lanius ${words.join(' ')}`), summary)).join(''),
    ),
    otherPrograms.map(({ word, summary }) => tagged(bold(`lanius ${word}`), summary)).join(''),
    section('OPTIONS', optionRows(GLOBAL_OPTIONS)),
    section('EXIT STATUS', text(mainHelp().match(/^Exit status: (.*)$/m)?.[1] ?? '')),
    section(
      'FILES',
      tagged(`${DEFAULT_CONFIG_FILE}`, 'Settings, see lanius-config(5)') +
        tagged(
          '/var/lib/lanius',
          'Records of this host, and the data of the etcd that the daemon runs itself',
        ) +
        tagged('/run/docker/plugins/lanius.sock', 'Where the engine finds the plugin') +
        tagged('/run/lanius/admin.sock', 'Where the commands find the daemon'),
    ),
    section(
      'SEE ALSO',
      seeNames(['lanius-daemon(1)', 'lanius-config(1)', 'lanius-config(5)', 'docker(1)', 'etcd(1)']),
    ),
  ];
  return lines.join('');
}

function commandPage(command: Command, options: ManOptions): string {
  const { words, summary, description, positionals } = command;
  const synopsis = [bold(['lanius', ...words].join(' ')), ...positionals.map(italic), '[OPTIONS]'].join(' ');
  const sentences = commandHelp(command).includes(`${summary}.`) ? `${summary}.` : summary;
  return [
    head(pageOf(words), 1, options),
    nameSection(pageOf(words), summary),
    section('SYNOPSIS', `${synopsis}\n`),
    section(
      'DESCRIPTION',
      text(sentences) + (description === undefined ? '' : `.PP\n${literal(description)}`),
    ),
    section('OPTIONS', optionRows({ ...command.options, ...GLOBAL_OPTIONS })),
    seeAlso(),
  ].join('');
}

function configPage(options: ManOptions): string {
  const sections = Object.entries(nodeAt([])?.properties ?? {});
  return [
    head('lanius-config', 5, options),
    nameSection('lanius-config', 'settings of the Lanius daemon'),
    section(
      'DESCRIPTION',
      text(
        `${DEFAULT_CONFIG_FILE} is a JSON file. Each setting can also be given as a variable or as a flag of the daemon; a flag wins over a variable, a variable over the file. Keys that are absent have their defaults. What is marked (reload) is taken over by "systemctl reload lanius", the rest by a restart, which disturbs no container.`,
      ),
    ),
    ...sections.map(([name, { description = '' }]) => {
      const keys = configKeys.filter(({ path }) => path.startsWith(`${name}.`));
      const rows = keys.map(({ path, variable, node }) =>
        tagged(`${bold(path)} (${variable})`, meaningOf(node)),
      );
      return section(name.toUpperCase(), text(description) + rows.join(''));
    }),
    section('SEE ALSO', seeNames(['lanius(1)', 'lanius-config(1)', 'lanius-daemon(1)'])),
  ].join('');
}

function meaningOf(node: SchemaNode): string {
  const fallback = node.default === undefined ? '' : ` Default: ${JSON.stringify(node.default)}.`;
  return `${node.description ?? ''}${fallback}${node.reload === true ? ' (reload)' : ''}`;
}

function optionRows(specs: Readonly<Record<string, OptionSpec>>): string {
  return Object.entries(specs)
    .map(([name, { short, value, description }]) => {
      const long = `${bold(`--${name}`)}${value === undefined ? '' : ` ${italic(value)}`}`;
      return tagged(short === undefined ? long : `${bold(`-${short}`)}, ${long}`, description);
    })
    .join('');
}

function head(name: string, chapter: number, { version, date }: ManOptions): string {
  return `.TH ${name.toUpperCase()} ${chapter} "${date}" "Lanius ${version}" "Lanius"\n`;
}

function nameSection(name: string, summary: string): string {
  return section('NAME', `${escaped(name)} \\- ${text(summary)}`);
}

function section(title: string, body: string): string {
  return `.SH ${title}\n${body}`;
}

function seeAlso(): string {
  return section('SEE ALSO', seeNames(['lanius(1)', 'lanius-config(5)']));
}

function seeNames(names: readonly string[]): string {
  return `${names
    .map((name) => name.replace(/^(.*)(\(\d\))$/, '\\fB$1\\fR$2'))
    .join(', ')
    .replaceAll('-', '\\-')}\n`;
}

function tagged(tag: string, body: string): string {
  return `.TP\n${tag}\n${text(body)}`;
}

/** The help text of a program that is not a command, as it is. */
function verbatim(help: string): string {
  return section('DESCRIPTION', `.nf\n${escaped(help)}.fi\n`);
}

/** Keeps the lines of a text. */
function literal(lines: string): string {
  return `.nf\n${escaped(lines)}\n.fi\n`;
}

function text(line: string): string {
  return `${escaped(line)}\n`;
}

/** No line may be taken for a request, no character for another. */
function escaped(line: string): string {
  return line
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('…', '...')
    .replaceAll(/^\./gm, '\\&.');
}

function bold(words: string): string {
  return `\\fB${escaped(words)}\\fR`;
}

function italic(words: string): string {
  return `\\fI${escaped(words)}\\fR`;
}

function pageOf(words: readonly string[]): string {
  return ['lanius', ...words].join('-');
}
