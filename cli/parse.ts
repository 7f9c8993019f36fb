/** The command line, understood: which command with which options, a help text, or what is wrong with it. */
import { parseArgs } from 'node:util';
import { suggestion } from '../core/nearest.ts';
import type { Command, CommandInput, OptionSpec, OptionValue } from './command.ts';
import { commands, otherPrograms } from './commands/all.ts';
import { commandHelp, GLOBAL_OPTIONS, groupHelp, groups, mainHelp } from './help.ts';
import { OUTPUT_FORMATS, type OutputFormat } from './output.ts';

export type Parsed =
  | {
      readonly kind: 'run';
      readonly command: Command;
      readonly input: CommandInput;
      readonly format: OutputFormat;
      readonly socket: string | undefined;
    }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'wrong'; readonly message: string };

const FORMATS_TEXT = OUTPUT_FORMATS.join(', ').replace(/, (\w+)$/, ' or $1');

/** @param argv what follows `lanius`; options may stand anywhere */
export function parse(argv: readonly string[]): Parsed {
  const first = tokensOf(argv, knownOptions(commands));
  const words = first.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
  const askedHelp = first.some((token) => token.kind === 'option' && token.name === 'help');
  const command = commands.find((one) => one.words.every((word, index) => words[index] === word));
  if (command === undefined) return withoutCommand(words, askedHelp);
  if (askedHelp) return { kind: 'help', text: commandHelp(command) };
  return parseCommand(command, argv);
}

function withoutCommand(words: readonly string[], askedHelp: boolean): Parsed {
  const [first, second] = words;
  if (first === undefined || (first === 'help' && second === undefined)) {
    return { kind: 'help', text: mainHelp() };
  }
  if (first === 'help') return withHelpWord(words.slice(1));
  if (groups().includes(first)) {
    if (askedHelp || second === undefined) return { kind: 'help', text: groupHelp(first) };
    const known = commands
      .filter(({ words: [group] }) => group === first)
      .map(({ words: [, verb] }) => verb ?? '');
    return wrong(
      `unknown command "${first} ${second}"${suggestion(second, known)}`,
      `lanius ${first} --help`,
    );
  }
  const known = [
    ...commands.map(({ words: [word] }) => word ?? ''),
    ...otherPrograms.map(({ word }) => word),
  ];
  return wrong(`unknown command "${first}"${suggestion(first, known)}`, 'lanius --help');
}

/** `lanius help ip release` */
function withHelpWord(words: readonly string[]): Parsed {
  const [word = ''] = words;
  if (otherPrograms.some((program) => program.word === word)) {
    return { kind: 'wrong', message: `see lanius ${word} --help` };
  }
  return parse([...words, '--help']);
}

function parseCommand(command: Command, argv: readonly string[]): Parsed {
  const specs = { ...command.options, ...GLOBAL_OPTIONS };
  const help = `lanius ${command.words.join(' ')} --help`;
  const options: Record<string, OptionValue | undefined> = {};
  const positionals: string[] = [];
  for (const token of tokensOf(argv, specs)) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, spec, isRemoval } = meantBy(token, specs);
    if (spec === undefined) {
      const names = Object.keys(specs).map((known) => `--${known}`);
      return wrong(`unknown option ${token.rawName}${suggestion(token.rawName, names, '')}`, help);
    }
    if ((spec.type === 'boolean' || isRemoval) && (token.value ?? '') !== '')
      return wrong(`${token.rawName} takes no value`, help);
    if (isRemoval) options[name] = nothingOf(spec);
    else if (spec.type === 'boolean') options[name] = true;
    else if ((token.value ?? '') === '') return wrong(`${token.rawName} needs a value`, help);
    else options[name] = withValue(spec, options[name], token.value ?? '');
  }
  const given = positionals.slice(command.words.length);
  const missing = command.positionals[given.length];
  if (missing !== undefined && !missing.startsWith('['))
    return wrong(`${command.words.join(' ')} needs ${missing}`, help);
  const extra = given[command.positionals.length];
  if (extra !== undefined) return wrong(`unexpected argument "${extra}"`, help);
  const format = options['output'] ?? 'table';
  if (!isFormat(format)) {
    return wrong(`unknown output format "${String(format)}": use ${FORMATS_TEXT}`, help);
  }
  const socket = typeof options['socket'] === 'string' ? options['socket'] : undefined;
  return { kind: 'run', command, input: { positionals: given, options }, format, socket };
}

/** `--no-NAME` and `--NAME ''` take away what may be taken away. */
function meantBy(
  { name, value }: { readonly name: string; readonly value?: string | undefined },
  specs: Readonly<Record<string, OptionSpec>>,
): { readonly name: string; readonly spec: OptionSpec | undefined; readonly isRemoval: boolean } {
  const spec = specs[name];
  if (spec !== undefined) return { name, spec, isRemoval: spec.removable === true && value === '' };
  const removed = name.startsWith('no-') ? specs[name.slice(3)] : undefined;
  return removed?.removable === true
    ? { name: name.slice(3), spec: removed, isRemoval: true }
    : { name, spec: undefined, isRemoval: false };
}

function nothingOf(spec: OptionSpec): OptionValue {
  if (spec.type === 'boolean') return false;
  return spec.multiple === true ? [] : '';
}

function withValue(spec: OptionSpec, earlier: OptionValue | undefined, value: string): OptionValue {
  if (spec.multiple !== true) return value;
  return typeof earlier === 'object' ? [...earlier, value] : [value];
}

/** Not strict: parseArgs would throw at the first unknown option, without a suggestion. */
function tokensOf(argv: readonly string[], specs: Readonly<Record<string, OptionSpec>>) {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, { type, short }]) => [
      name,
      short === undefined ? { type } : { type, short },
    ]),
  );
  return parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

/** Needed to find the command's words: only who knows the options knows which words are their values. */
function knownOptions(all: readonly Command[]): Record<string, OptionSpec> {
  return Object.assign({}, ...all.map(({ options }) => options), GLOBAL_OPTIONS) as Record<
    string,
    OptionSpec
  >;
}

function isFormat(value: unknown): value is OutputFormat {
  return OUTPUT_FORMATS.some((format) => format === value);
}

function wrong(message: string, help: string): Parsed {
  return {
    kind: 'wrong',
    message: `${message.replace(/\?$/, '')}${message.endsWith('?') ? '?' : ';'} see ${help}`,
  };
}
