/** What a command of `lanius` is: one file per command exports one. */
import type { AdminClient } from './admin-client.ts';
import type { Output } from './output.ts';

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** Name of the value in help texts; for type `string`. */
  readonly value?: string;
  /** May be given several times; its value is a list then. */
  readonly multiple?: boolean;
  /** `--no-NAME`, or an empty value, takes away what is set: false, an empty text or list. */
  readonly removable?: boolean;
  readonly description: string;
}

export type OptionValue = string | boolean | readonly string[];

export interface CommandInput {
  /** In the order of `Command.positionals`, none missing. */
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, OptionValue | undefined>>;
}

export interface CommandContext {
  readonly client: AdminClient;
  readonly output: Output;
  /** Asks the person at the terminal, on stderr; absent if there is none. */
  readonly ask?: (question: string) => Promise<string>;
}

export interface Command {
  /** e.g. `['ip', 'release']` */
  readonly words: readonly string[];
  readonly summary: string;
  /** Further sentences for its help. */
  readonly description?: string;
  /** Upper-case names, e.g. `ADDRESS`; all are needed, but the last one if it stands in brackets. */
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** @returns exit status; a DriverError becomes `lanius: message` and status 1 */
  run(input: CommandInput, context: CommandContext): Promise<number>;
}

/** The value of a string option, if it was given. */
export function stringOption(input: CommandInput, name: string): string | undefined {
  const value = input.options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The values of an option that may be given several times, if it was given. */
export function listOption(input: CommandInput, name: string): readonly string[] | undefined {
  const value = input.options[name];
  return typeof value === 'object' ? value : undefined;
}

/** Whether a boolean option was set or, with `--no-`, taken away. */
export function flagOption(input: CommandInput, name: string): boolean | undefined {
  const value = input.options[name];
  return typeof value === 'boolean' ? value : undefined;
}
