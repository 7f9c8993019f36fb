/**
 * What a daemon that cannot start still owes the engine: an answer. Calls wait in the socket that systemd holds,
 * the engine puts no time limit on them, and an engine that starts asks the plugin first: unanswered, it would
 * never come up.
 *
 * Must not: do anything but refuse.
 * Source: moby pkg/plugins/client.go (no time limit but that of the dial); systemd.socket(5).
 */
import { createServer } from 'node:http';
import { oneLine } from '../core/errors.ts';
import { send } from '../plugin/reply.ts';
import { listenOn } from './listen.ts';

/** Long enough that a loop of restarts is calm, short enough for `systemctl restart` to fail soon. */
const REFUSE_MS = 2000;

/**
 * Answers every call with `reason` for {@link REFUSE_MS}.
 * @param fd listening socket that systemd made; closed at the end, while systemd's own copy goes on listening
 */
export async function refuseCalls(fd: number, reason: string): Promise<void> {
  const text = `Lanius cannot start: ${oneLine(reason)}`;
  const server = createServer((request, response) => {
    request.resume();
    send(response, 503, { Err: text, Error: text }, true);
  });
  const listener = await listenOn(server, { path: '', fd });
  await new Promise((resolve) => setTimeout(resolve, REFUSE_MS));
  await listener.close(0);
}
