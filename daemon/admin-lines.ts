/**
 * Long answers of the admin socket: streams of JSON lines, written no faster than the other side reads, so that long work
 * shows its progress. The last line of a failure that came late is `{"error":{"code","message"}}`.
 */
import { once } from 'node:events';
import type { Request, RequestHandler, Response } from 'express';
import { toDriverError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';

const PROGRESS_MS = 500;
const DISCARD_MS = 5000;

export type LinesWork = (lines: Lines, request: Request) => Promise<void>;

/** A handler that answers with lines. What it throws before the first one is answered as any other failure. */
export function answerLines(work: LinesWork, logger: Logger): RequestHandler {
  return async (request, response) => {
    const lines = new Lines(response);
    try {
      await work(lines, request);
    } catch (thrown) {
      if (!response.headersSent) throw thrown;
      const error = toDriverError(thrown);
      logger.warn('an admin request failed', { method: `${request.method} ${request.path}`, err: error });
      await lines.send({ error: { code: error.code, message: error.message } });
      await discarded(request);
    }
    response.end();
  };
}

/** The answer, line by line. */
export class Lines {
  readonly #response: Response;
  #toldAtMs = performance.now();

  constructor(response: Response) {
    this.#response = response;
  }

  /** Tells it now and then; the other side may be gone. */
  readonly progress = (keys: number): void => {
    if (performance.now() - this.#toldAtMs < PROGRESS_MS || this.#response.writableNeedDrain) return;
    this.#toldAtMs = performance.now();
    void this.send({ progress: { keys } }).catch(() => {});
  };

  /** From here on a failure is a line of the answer. */
  open(): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    response.setHeader('Content-Type', 'application/x-ndjson');
    response.flushHeaders();
  }

  send(line: object): Promise<void> {
    return this.write(`${JSON.stringify(line)}\n`);
  }

  /** @throws Error if the other side has gone */
  async write(text: string): Promise<void> {
    const response = this.#response;
    if (response.destroyed) throw new Error('the lanius command has gone');
    this.open();
    if (response.write(text)) return;
    const gone = new AbortController();
    const close = (): void => gone.abort();
    response.once('close', close);
    try {
      await once(response, 'drain', { signal: gone.signal });
    } finally {
      response.off('close', close);
    }
  }
}

/**
 * Reads the rest of a body, for nothing: to close on somebody who still sends would take the answer away. Who has read
 * the answer goes.
 */
function discarded(request: Request): Promise<void> {
  return new Promise((resolve) => {
    if (request.readableEnded || request.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, DISCARD_MS);
    request.once('end', done).once('close', done).resume();
  });
}
