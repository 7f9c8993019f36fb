/** The program `lanius` for operators: asks the daemon over its admin socket and prints the answer. */
import { toDriverError } from '../core/errors.ts';
import { DEFAULT_ADMIN_SOCKET } from '../plugin/wire/admin.ts';
import { AdminClient } from './admin-client.ts';
import { Output, type Streams } from './output.ts';
import { parse } from './parse.ts';

const standardStreams: Streams = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

/**
 * @param argv what follows `lanius`
 * @returns exit status: 0, 1 if something failed, 2 if the command line is wrong
 */
export async function main(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  streams: Streams = standardStreams,
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
  const client = new AdminClient(socket ?? env['LANIUS_ADMIN_SOCKET'] ?? DEFAULT_ADMIN_SOCKET);
  try {
    return await command.run(input, { client, output });
  } catch (error) {
    output.complain(toDriverError(error).message);
    return 1;
  }
}
