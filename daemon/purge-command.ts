/** `lanius purge`: shows what would be removed, asks, and has it removed (daemon/purge.ts). */
import { hostname } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { DriverError, toDriverError } from '../core/errors.ts';
import { silentLogger } from '../core/log.ts';
import { suggestion } from '../core/nearest.ts';
import { formatTable } from '../core/table.ts';
import { DEFAULT_CONFIG_FILE, InvalidConfig, loadConfig } from './config.ts';
import { Purge } from './purge.ts';
import { PURGE_HELP } from './purge-help.ts';
import { type PurgePlan, purgePlan } from './purge-plan.ts';
import { SystemdService } from './purge-service.ts';

const OPTIONS = {
  'dry-run': { type: 'boolean' },
  yes: { type: 'boolean', short: 'y' },
  force: { type: 'boolean' },
  config: { type: 'string' },
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h' },
} as const;

interface Wishes {
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly force: boolean;
  readonly json: boolean;
  readonly configFile: string | undefined;
}

/** @param argv what follows `purge` @returns the exit status */
export async function runPurgeCommand(argv: readonly string[]): Promise<number> {
  const wishes = read(argv);
  if (wishes === 'help') {
    process.stdout.write(PURGE_HELP);
    return 0;
  }
  if (typeof wishes === 'string') {
    complain(`${wishes}${wishes.endsWith('?') ? '' : ';'} see lanius purge --help`);
    return 2;
  }
  try {
    return await purge(wishes);
  } catch (error) {
    if (error instanceof InvalidConfig) process.stderr.write(`${error.message}\n`);
    else complain(toDriverError(error).message);
    return 1;
  }
}

async function purge(wishes: Wishes): Promise<number> {
  if (process.getuid?.() !== 0) throw new DriverError('invalid', 'lanius purge needs root: use sudo');
  const words = wishes.configFile === undefined ? [] : ['--config', wishes.configFile];
  const { config } = loadConfig({ argv: words, env: process.env, hostname: hostname() });
  const configFile = wishes.configFile ?? process.env['LANIUS_CONFIG'] ?? DEFAULT_CONFIG_FILE;
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  const work = new Purge(
    { config, configFile },
    { service: new SystemdService(), logger: silentLogger, tell },
  );
  try {
    const view = await work.look();
    const plan = purgePlan(view, wishes);
    if (!wishes.json) process.stdout.write(described(plan));
    if (plan.refusal !== undefined || wishes.dryRun) {
      if (wishes.json) print({ done: false, ...plan });
      if (plan.refusal !== undefined) complain(plan.refusal);
      return plan.refusal === undefined ? 0 : 1;
    }
    if (plan.items.length === 0) {
      if (wishes.json) print({ done: true, ...plan, left: [] });
      return 0;
    }
    const agreed = wishes.yes || (await ask());
    if (agreed !== true) {
      complain(agreed === undefined ? 'say --yes to remove all of it' : 'nothing was changed');
      return agreed === undefined ? 2 : 1;
    }
    const left = await work.run(plan, view.store);
    if (wishes.json) print({ done: true, ...plan, left });
    else
      process.stdout.write(
        left.length === 0
          ? 'nothing is left of Lanius\n'
          : `left:\n${left.map((line) => `  ${line}\n`).join('')}`,
      );
    return 0;
  } finally {
    await work.close();
  }
}

/** @returns what is wrong, in words */
function read(argv: readonly string[]): Wishes | string {
  const { values, tokens } = parseArgs({
    args: [...argv],
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === 'positional') return `unexpected argument "${token.value}"`;
    if (token.kind !== 'option') continue;
    const known = Object.keys(OPTIONS).map((name) => `--${name}`);
    if (!Object.hasOwn(OPTIONS, token.name))
      return `unknown option ${token.rawName}${suggestion(token.rawName, known, '')}`;
    const takesValue = token.name === 'config' || token.name === 'output';
    if (takesValue && (token.value ?? '') === '') return `${token.rawName} needs a value`;
    if (!takesValue && token.value !== undefined) return `${token.rawName} takes no value`;
  }
  if (values.help === true) return 'help';
  const { output = 'table', config } = values;
  if (output !== 'table' && output !== 'json')
    return `unknown output format "${String(output)}": use table or json`;
  return {
    dryRun: values['dry-run'] === true,
    yes: values.yes === true,
    force: values.force === true,
    json: output === 'json',
    configFile: typeof config === 'string' ? config : undefined,
  };
}

function described({ items, kept }: PurgePlan): string {
  if (items.length === 0) return 'there is nothing of Lanius on this host\n';
  const stays = kept.map(
    ({ name, containers, addressesOnly }) =>
      `network ${name} keeps its links${addressesOnly === true ? ', which are not of Lanius' : ''}: ` +
      `${containers.join(', ')} run on it\n`,
  );
  return (
    formatTable(
      ['REMOVES', 'OBJECT'],
      items.map(({ what, object }) => [what, object]),
    ) + stays.join('')
  );
}

/** Undefined where nobody could answer. */
async function ask(): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question('Remove all of it? [y/N] ')).trim());
  } finally {
    lines.close();
  }
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function complain(text: string): void {
  process.stderr.write(`lanius: ${text}\n`);
}
