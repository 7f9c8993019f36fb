/**
 * Follows the engine's event stream for ever and says when the engine is there and when it is not.
 *
 * "There" is two answers: GET /events with its header, and GET /_ping. While an engine starts, systemd's socket
 * takes connections that nobody answers, so a connection alone proves nothing.
 *
 * INVARIANTS: onConnected and onDisconnected alternate, onConnected first; events come only between the two;
 * nothing comes after close(). Events that happen while the stream is cut are lost: whoever follows compares
 * everything at onConnected.
 */
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineUnavailable } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { EngineHttp } from './engine-http.ts';
import { eventReply } from './engine-replies.ts';
import type { EngineEvents } from './port.ts';

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 2000;
/** How long the engine may take to answer; then the connection is cut and made anew. */
const ANSWER_TIMEOUT_MS = 5000;

/** `exec_*` and `health_status` are left out: hosts with health checks have hundreds of them a minute. */
const FILTERS = {
  type: ['network', 'container'],
  event: ['create', 'connect', 'disconnect', 'destroy', 'remove', 'start', 'die', 'rename'],
};
const EVENTS_PATH = `/events?filters=${encodeURIComponent(JSON.stringify(FILTERS))}`;

/** Starts to follow; connects again after each break, waiting 0.2 to 2 s between two attempts. */
export function followEngine(http: EngineHttp, events: EngineEvents, logger: Logger): { close(): void } {
  const closed = new AbortController();
  void run(http, events, logger, closed.signal);
  return { close: () => closed.abort() };
}

async function run(
  http: EngineHttp,
  events: EngineEvents,
  logger: Logger,
  closed: AbortSignal,
): Promise<void> {
  let waitMs = FIRST_WAIT_MS;
  while (!closed.aborted) {
    const connection = new AbortController();
    const cut = (): void => connection.abort();
    closed.addEventListener('abort', cut);
    try {
      const stream = await http.open(EVENTS_PATH, ANSWER_TIMEOUT_MS, connection.signal);
      stream.on('error', () => {}); // it ends the loop of `deliver`; without a listener it would end the process
      await http.get('/_ping', ANSWER_TIMEOUT_MS);
      if (closed.aborted) return;
      waitMs = FIRST_WAIT_MS;
      logger.info('the engine answers');
      call(() => events.onConnected(), logger);
      const error = await deliver(stream, events, logger, closed);
      if (closed.aborted) return;
      logger.info('the engine went away', { err: error });
      call(() => events.onDisconnected(error), logger);
    } catch (error) {
      logger.debug('the engine does not answer yet', { err: error });
    } finally {
      closed.removeEventListener('abort', cut);
      connection.abort();
    }
    await sleep(waitMs, undefined, { signal: closed }).catch(() => {});
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }
}

/** @returns why the stream ended */
async function deliver(
  stream: Readable,
  events: EngineEvents,
  logger: Logger,
  closed: AbortSignal,
): Promise<unknown> {
  try {
    let rest = '';
    stream.setEncoding('utf8');
    for await (const chunk of stream) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (!closed.aborted) deliverLine(line, events, logger);
    }
  } catch (error) {
    return error;
  }
  return new EngineUnavailable('the event stream of the Docker engine ended');
}

function deliverLine(line: string, events: EngineEvents, logger: Logger): void {
  if (line.trim() === '') return;
  const parsed = eventReply.safeParse(parseJson(line));
  if (!parsed.success) {
    logger.warn('an event of the engine cannot be read', { err: parsed.error });
    return;
  }
  const { Type, Action, Actor } = parsed.data;
  call(() => events.onEvent({ type: Type, action: Action, id: Actor.ID }), logger);
}

/** A listener that throws must not end the following. */
function call(listener: () => void, logger: Logger): void {
  try {
    listener();
  } catch (error) {
    logger.error('a listener of engine events failed', { err: error });
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
