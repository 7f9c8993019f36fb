/**
 * The configuration in force: flag > LANIUS_… variable > file > default, checked as a whole, all problems told
 * at once.
 *
 * Must not: read a secret (passwordFile is read where it is used), or go on with half a configuration.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { z } from 'zod';
import { suggestion } from '../core/nearest.ts';
import { type ConfigKey, configKeys, nodeAt, readText } from './config-keys.ts';
import { type Config, configSchema } from './config-schema.ts';

export const DEFAULT_CONFIG_FILE = '/etc/lanius/config.json';
/** LANIUS_… variables that are no settings. */
const OTHER_VARIABLES = new Set(['LANIUS_DIST', 'LANIUS_FAILPOINT', 'LANIUS_CONFIG']);

export interface ConfigSources {
  /** `--config FILE` and `--section.key VALUE`. */
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Default of host.name. */
  readonly hostname: string;
  /** Read if no other is named; it may be absent. Default: {@link DEFAULT_CONFIG_FILE}. */
  readonly defaultFile?: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Where the value of each key comes from: a flag, a variable, a file, or `default`. */
  readonly sources: ReadonlyMap<string, string>;
}

/** One line per problem, each with its source and key; printed as it is. */
export class InvalidConfig extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.map((problem) => `lanius: ${problem}`).join('\n'));
    this.name = 'InvalidConfig';
    this.problems = problems;
  }
}

/** @throws InvalidConfig with every problem of all sources */
export function loadConfig(options: ConfigSources): LoadedConfig {
  const draft = new Draft();
  const { file, settings } = readFlags(options.argv, draft);
  const chosen = file ?? options.env['LANIUS_CONFIG'];
  draft.takeFile(chosen ?? options.defaultFile ?? DEFAULT_CONFIG_FILE, chosen !== undefined);
  takeVariables(options.env, draft);
  for (const [name, text] of settings) {
    const key = configKeys.find(({ path }) => path === name);
    if (key !== undefined) draft.takeText(key, text, `--${name}`);
  }
  return draft.finish(options.hostname);
}

/** Flags of `lanius daemon`, for parseArgs. */
export const configFlags: Readonly<Record<string, { readonly type: 'string' }>> = Object.fromEntries(
  ['config', ...configKeys.map(({ path }) => path)].map((name) => [name, { type: 'string' }]),
);

function readFlags(
  argv: readonly string[],
  draft: Draft,
): { file: string | undefined; settings: readonly (readonly [string, string])[] } {
  const { tokens } = parseArgs({ args: [...argv], options: configFlags, strict: false, tokens: true });
  let file: string | undefined;
  const settings: (readonly [string, string])[] = [];
  const known = Object.keys(configFlags).map((name) => `--${name}`);
  let unknownAt = Number.NaN;
  for (const token of tokens) {
    // what follows an unknown flag is most likely its value
    if (token.kind === 'positional' && token.index !== unknownAt + 1) {
      draft.problem(`unknown argument "${token.value}"`);
    }
    if (token.kind !== 'option') continue;
    if (configFlags[token.name] === undefined) {
      draft.problem(`${token.rawName}: unknown flag${suggestion(token.rawName, known, '')}`);
      if (token.inlineValue !== true) unknownAt = token.index;
    } else if (token.value === undefined) draft.problem(`${token.rawName}: needs a value`);
    else if (token.name === 'config') file = token.value;
    else settings.push([token.name, token.value]);
  }
  return { file, settings };
}

function takeVariables(env: NodeJS.ProcessEnv, draft: Draft): void {
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('LANIUS_') || text === undefined || OTHER_VARIABLES.has(name)) continue;
    const key = configKeys.find(({ variable }) => variable === name);
    if (key !== undefined) draft.takeText(key, text, name);
    else if (isOfASection(name)) {
      const hint = suggestion(
        name,
        configKeys.map(({ variable }) => variable),
        '',
      );
      draft.problem(`${name}: unknown variable${hint}`);
    }
  }
}

/** Other LANIUS_… variables belong to somebody else. */
function isOfASection(variable: string): boolean {
  return Object.keys(nodeAt([])?.properties ?? {}).some((section) =>
    variable.startsWith(`LANIUS_${section.toUpperCase()}_`),
  );
}

/** The settings so far, each with its source, and the problems so far. */
class Draft {
  readonly #values: Record<string, unknown> = {};
  readonly #sources = new Map<string, string>();
  readonly #problems: string[] = [];
  #file = '';

  problem(text: string): void {
    this.#problems.push(text);
  }

  takeFile(file: string, mustExist: boolean): void {
    this.#file = file;
    try {
      const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
      if (!isObject(content) || Array.isArray(content)) throw new Error('must be a JSON object');
      Object.assign(this.#values, content);
      for (const { path } of configKeys) {
        if (valueAt(content, path.split('.')) !== undefined) this.#sources.set(path, file);
      }
    } catch (error) {
      const absent = isObject(error) && error['code'] === 'ENOENT';
      if (absent && !mustExist) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.problem(`${file}: ${absent ? 'there is no such file' : reason}`);
    }
  }

  takeText(key: ConfigKey, text: string, source: string): void {
    this.#sources.set(key.path, source);
    try {
      setAt(this.#values, key.path.split('.'), readText(key, text));
    } catch (error) {
      this.problem(`${source}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  finish(hostname: string): LoadedConfig {
    const parsed = configSchema.safeParse(this.#values);
    if (!parsed.success) this.#problems.push(...parsed.error.issues.flatMap((issue) => this.#explain(issue)));
    if (this.#problems.length > 0 || !parsed.success) throw new InvalidConfig(this.#problems);
    const sources = configKeys.map(({ path }) => [path, this.#sources.get(path) ?? 'default'] as const);
    const host = { ...parsed.data.host, name: parsed.data.host.name ?? hostname };
    return { config: { ...parsed.data, host }, sources: new Map(sources) };
  }

  #explain(issue: z.core.$ZodIssue): string[] {
    if (issue.code === 'unrecognized_keys') {
      const known = Object.keys(nodeAt(issue.path)?.properties ?? {});
      return issue.keys.map(
        (key) => `${this.#file}: ${textOf([...issue.path, key])}: unknown key${suggestion(key, known)}`,
      );
    }
    const path = textOf(issue.path);
    const source = [...this.#sources].find(
      ([key]) => path === key || path.startsWith(`${key}[`) || path.startsWith(`${key}.`),
    )?.[1];
    const given = valueAt(this.#values, issue.path);
    const shown = given === undefined || isObject(given) ? '' : `${JSON.stringify(given)} `;
    return [
      source === undefined || source === this.#file
        ? `${this.#file}: ${path}: ${reasonOf(issue, shown)}`
        : `${source}: ${reasonOf(issue, shown)}`,
    ];
  }
}

function reasonOf(issue: z.core.$ZodIssue, shown: string): string {
  if (issue.code === 'invalid_type') {
    const expected = `${/^[aeio]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`;
    return shown === '' ? `must be ${expected}` : `${shown}is not ${expected}`;
  }
  if (issue.code === 'invalid_value') return `${shown}is not one of ${issue.values.join(', ')}`;
  if (issue.code === 'too_small') return `${shown}is less than ${issue.minimum}`;
  if (issue.code === 'too_big') return `${shown}is more than ${issue.maximum}`;
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  const quoted = shown !== '' && issue.message.startsWith(shown.trim());
  return quoted ? issue.message : `${shown}${issue.message}`;
}

/** `ipam.pools[0].subnet` */
function textOf(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, step) => (isObject(value) ? value[String(step)] : undefined), root);
}

function setAt(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first = '', ...rest] = path;
  if (rest.length === 0) {
    root[first] = value;
    return;
  }
  const child = root[first];
  const next = isObject(child) ? { ...child } : {};
  root[first] = next;
  setAt(next, rest, value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
