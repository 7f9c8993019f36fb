/** The program `lanius` for operators: asks the daemon over its admin socket and prints the answer. */
import { createInterface } from 'node:readline/promises';
import { toDriverError } from '../core/errors.ts';
import { DEFAULT_ADMIN_SOCKET } from '../plugin/wire/admin.ts';
import { AdminClient } from './admin-client.ts';
import { Output, type Streams } from './output.ts';
import { parse } from './parse.ts';

const standardStreams: Streams = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  screen: () => {
    const { isTTY, rows, columns } = process.stdout;
    return isTTY === true && rows > 1 ? { rows, columns } : undefined;
  },
};

/** Undefined where nobody could answer. */
function terminal(): ((question: string) => Promise<string>) | undefined {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  return async (question) => {
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return await lines.question(question);
    } finally {
      lines.close();
    }
  };
}

/**
 * @param argv what follows `lanius`
 * @param ask how to ask a person, if there is one
 * @returns exit status: 0, 1 if something failed, 2 if the command line is wrong
 */
export async function main(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  streams: Streams = standardStreams,
  ask: ((question: string) => Promise<string>) | undefined = terminal(),
): Promise<number> {
  const parsed = parse(argv);
  if (parsed.kind === 'help') {
    streams.out(parsed.text);
    return 0;
  }
  if (parsed.kind === 'wrong') {
    streams.err(`lanius: ${parsed.message}\n`);
    return 2;
  }
  const { command, input, format, socket } = parsed;
  const output = new Output(format, streams);
  const client = new AdminClient(socket ?? env['LANIUS_ADMIN_SOCKET'] ?? DEFAULT_ADMIN_SOCKET, (text) =>
    output.note(text),
  );
  try {
    return await command.run(input, { client, output, ...(ask === undefined ? {} : { ask }) });
  } catch (error) {
    output.complain(toDriverError(error).message);
    return 1;
  }
}
