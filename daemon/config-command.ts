/** `lanius config check|show|schema`: what the daemon would run with. Starts nothing and changes nothing. */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { suggestion } from '../core/nearest.ts';
import { formatTable } from '../core/table.ts';
import { InvalidConfig, type LoadedConfig, loadConfig, valueAt } from './config.ts';
import { configKeys, jsonSchema } from './config-keys.ts';

export const CONFIG_HELP = `Usage: lanius config COMMAND [--config FILE] [--SECTION.KEY VALUE …]

Commands:
  check    Say what is wrong with the configuration; exit status 0 if nothing is
  show     Print every setting in force and where it comes from
  schema   Print the JSON schema of the configuration file

Options:
  --config FILE          Read this file instead of /etc/lanius/config.json
  --SECTION.KEY VALUE    A setting as the daemon would get it, e.g. --log.level debug
  -o, --output FORMAT    table or json (default table)
  -h, --help             Print this help
`;

export const DAEMON_HELP = `Usage: lanius daemon [--config FILE] [--SECTION.KEY VALUE …]

Runs the daemon in the foreground. Every setting of the configuration file can be given as a flag or as a
variable; a flag wins over a variable, a variable over the file. docs/config.md lists them all.

Options:
  --config FILE          Read this file instead of /etc/lanius/config.json
  --SECTION.KEY VALUE    A setting, e.g. --log.level debug or --etcd.hosts http://10.0.0.2:2379
  -h, --help             Print this help
`;

const COMMANDS = ['check', 'show', 'schema'];

export interface ConfigCommandOutput {
  write(text: string): void;
  complain(text: string): void;
}

const console: ConfigCommandOutput = {
  write: (text) => process.stdout.write(text),
  complain: (text) => process.stderr.write(text),
};

/**
 * @param argv what follows `config`
 * @returns exit status: 0, 1 if the configuration is wrong, 2 if the command line is
 */
export async function runConfigCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  output: ConfigCommandOutput = console,
): Promise<number> {
  const { command, format, help, rest } = split(argv);
  if (help) {
    output.write(CONFIG_HELP);
    return 0;
  }
  if (command === undefined || !COMMANDS.includes(command) || !['table', 'json'].includes(format)) {
    const complaint = misuse(command, format);
    output.complain(`lanius: ${complaint}${complaint.endsWith('?') ? '' : ';'} see lanius config --help\n`);
    return 2;
  }
  if (command === 'schema') {
    output.write(`${JSON.stringify(jsonSchema, null, 2)}\n`);
    return 0;
  }
  try {
    const loaded = loadConfig({ argv: rest, env, hostname: hostname() });
    output.write(command === 'show' ? show(loaded, format) : checked(format));
    return 0;
  } catch (error) {
    if (!(error instanceof InvalidConfig)) throw error;
    if (format === 'json')
      output.write(`${JSON.stringify({ ok: false, problems: error.problems }, null, 2)}\n`);
    else output.complain(`${error.message}\n`);
    return 1;
  }
}

function split(argv: readonly string[]): {
  command: string | undefined;
  format: string;
  help: boolean;
  rest: string[];
} {
  const rest: string[] = [];
  let command: string | undefined;
  let format = 'table';
  let help = false;
  const { tokens } = parseArgs({
    args: [...argv],
    options: { output: { type: 'string', short: 'o' }, help: { type: 'boolean', short: 'h' } },
    strict: false,
    tokens: true,
  });
  const taken = new Set<number>();
  for (const token of tokens) {
    if (token.kind === 'option' && token.name === 'output') {
      format = token.value ?? '';
      taken.add(token.index);
      if (token.inlineValue === false) taken.add(token.index + 1);
    }
    if (token.kind === 'option' && token.name === 'help') help = true;
    if (token.kind === 'positional' && command === undefined && token.index === 0) {
      command = token.value;
      taken.add(token.index);
    }
  }
  argv.forEach((argument, index) => {
    if (!taken.has(index)) rest.push(argument);
  });
  return { command, format, help, rest };
}

function misuse(command: string | undefined, format: string): string {
  if (command === undefined) return 'config needs a command: check, show or schema';
  if (!COMMANDS.includes(command)) {
    return `unknown command "config ${command}"${suggestion(command, COMMANDS)}`;
  }
  return `unknown output format "${format}": use table or json`;
}

function checked(format: string): string {
  return format === 'json' ? '{\n  "ok": true,\n  "problems": []\n}\n' : 'the configuration is right\n';
}

function show({ config, sources }: LoadedConfig, format: string): string {
  const rows = configKeys.map(({ path }) => ({
    key: path,
    value: valueAt(config, path.split('.')),
    source: path === 'host.name' && sources.get(path) === 'default' ? 'hostname' : (sources.get(path) ?? ''),
  }));
  if (format === 'json') return `${JSON.stringify(rows, null, 2)}\n`;
  return formatTable(
    ['KEY', 'VALUE', 'SOURCE'],
    rows.map(({ key, value, source }) => [key, asText(value), source]),
  );
}

function asText(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
