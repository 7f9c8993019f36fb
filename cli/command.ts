/** What a command of `lanius` is: one file per command exports one. */
import type { AdminClient } from './admin-client.ts';
import type { Output } from './output.ts';

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** Name of the value in help texts; for type `string`. */
  readonly value?: string;
  readonly description: string;
}

export interface CommandInput {
  /** In the order of `Command.positionals`, none missing. */
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
}

export interface CommandContext {
  readonly client: AdminClient;
  readonly output: Output;
}

export interface Command {
  /** e.g. `['ip', 'release']` */
  readonly words: readonly string[];
  readonly summary: string;
  /** Further sentences for its help. */
  readonly description?: string;
  /** Upper-case names, e.g. `ADDRESS`; all are needed. */
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
