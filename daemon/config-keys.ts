/**
 * The keys of the configuration as a flat list, read from the schema: dotted path, LANIUS_… variable, type,
 * default, meaning. Flags, variables, `config show`, misspelling hints and docs/config.md are made from it.
 */
import { z } from 'zod';
import { InvalidRequest } from '../core/errors.ts';
import { configSchema } from './config-schema.ts';

/** The part of JSON Schema that z.toJSONSchema makes of our schema. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly required?: readonly string[];
  /** `systemctl reload` takes it over. */
  readonly reload?: boolean;
}

export interface ConfigKey {
  /** e.g. `etcd.tls.caFile`; also the name of the flag. */
  readonly path: string;
  /** e.g. `LANIUS_ETCD_TLS_CA_FILE`. */
  readonly variable: string;
  readonly node: SchemaNode;
}

/** JSON Schema (draft 2020-12) of the configuration file. */
export const jsonSchema = z.toJSONSchema(configSchema, { io: 'input' }) as SchemaNode;

/** Every key that can be set alone, in the order of the schema. */
export const configKeys: readonly ConfigKey[] = keysOf(jsonSchema, []);

function keysOf(node: SchemaNode, path: readonly string[]): ConfigKey[] {
  if (node.properties === undefined) {
    return [{ path: path.join('.'), variable: variableOf(path), node }];
  }
  return Object.entries(node.properties).flatMap(([name, child]) => keysOf(child, [...path, name]));
}

export function variableOf(path: readonly string[]): string {
  const words = path.map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  return `LANIUS_${words.join('_')}`;
}

/** The schema of what lies at a path; array indexes lead to the items. Undefined if nothing does. */
export function nodeAt(path: readonly PropertyKey[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = jsonSchema;
  for (const step of path) node = typeof step === 'number' ? node?.items : node?.properties?.[String(step)];
  return node;
}

/**
 * The value that a flag or a variable means: numbers are read as numbers, true and false as such, lists as `a,b` or as JSON, maps as `a=1,b=2`
 * or as JSON, lists of objects as JSON.
 * @throws InvalidRequest that says what is expected
 */
export function readText(key: ConfigKey, text: string): unknown {
  const { type, items } = key.node;
  if (type === 'integer' || type === 'number') {
    if (!/^-?\d+$/.test(text)) throw new InvalidRequest(`"${text}" is not a number`);
    return Number(text);
  }
  if (type === 'boolean') {
    if (text !== 'true' && text !== 'false') throw new InvalidRequest(`"${text}" is neither true nor false`);
    return text === 'true';
  }
  if (type === 'object') return text.startsWith('{') ? readJson(text) : readMap(text);
  if (type !== 'array') return text;
  if (text.startsWith('[')) return readJson(text);
  if (items?.type !== 'string') throw new InvalidRequest('must be a JSON list, like [{"name":"x"}]');
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function readMap(text: string): unknown {
  const pairs = text.split(',').filter((part) => part.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, key, value] = /^\s*([^=]+)=(.*?)\s*$/.exec(pair) ?? [];
      if (key === undefined) throw new InvalidRequest(`"${pair}" is not of the form KEY=VALUE`);
      return [key, value];
    }),
  );
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidRequest(`is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
