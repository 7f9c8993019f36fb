/**
 * Long answers of the daemon as the commands see them: line by line as they come, and long bodies as they are read.
 * @see plugin/wire/admin-store.ts
 */
import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { DriverError, type ErrorCode, InternalError } from '../core/errors.ts';
import { errorReply } from '../plugin/wire/admin.ts';
import { type AdminClient, DaemonUnreachable } from './admin-client.ts';

export interface StreamCall {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: AsyncIterable<Uint8Array>;
}

/**
 * @returns the lines of the answer, without those that tell an error
 * @throws DriverError with the daemon's code and message, also in the middle; DaemonUnreachable
 */
export async function* linesOf(client: AdminClient, call: StreamCall): AsyncGenerator<string> {
  const { socketPath } = client;
  const outgoing = request({ socketPath, method: call.method, path: call.path, agent: false });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
  });
  // A body that the daemon refuses ends the sending, but the answer says why; one that cannot be read says so itself.
  let unread: unknown;
  const sending = call.body === undefined ? undefined : pipeline(call.body, outgoing);
  sending?.catch((error: unknown) => {
    unread = error;
  });
  if (sending === undefined) outgoing.end();
  try {
    const response = await answered;
    const lines = createInterface({ input: response, crlfDelay: Infinity });
    // Nobody listens any more once the loop is left; what is broken off after that is of no interest.
    for (const end of [outgoing, lines]) end.on('error', () => {});
    for await (const line of lines) {
      throwIfError(line);
      yield line;
    }
    if (!response.complete) throw new Error('the answer is cut off');
  } catch (error) {
    if (unread instanceof DriverError) throw unread;
    if (error instanceof DriverError) throw error;
    throw await unreachable(client, error);
  } finally {
    outgoing.destroy();
  }
}

function throwIfError(line: string): void {
  if (!line.startsWith('{"error":')) return;
  const failure = errorReply.safeParse(JSON.parse(line));
  if (!failure.success)
    throw new InternalError("the daemon answered an error in a shape that is not Lanius'");
  throw new DriverError(failure.data.error.code as ErrorCode, failure.data.error.message);
}

/** The socket's own failures in the words of the other commands. */
async function unreachable(client: AdminClient, error: unknown): Promise<DriverError> {
  const failure = await client.get('/v1/version').then(
    () => undefined,
    (one: unknown) => one,
  );
  if (failure instanceof DriverError) return failure;
  const reason = error instanceof Error ? error.message : String(error);
  return new DaemonUnreachable(
    `the daemon broke off the answer (${reason}): see journalctl -u lanius`,
    error,
  );
}
