/**
 * GET requests to the Docker Engine API over its unix socket, each with its own time limit, and the event
 * stream. dockerode's transport does the HTTP; what it cannot do is done here: end a call that hangs (the
 * engine's API does hang while the engine starts), and end one whose answer breaks off.
 *
 * Must not: know what an answer means; read DOCKER_HOST and the like (this host's engine is meant).
 * @see Docker Engine API, "Versioning" and "Errors"
 */
import type { Readable } from 'node:stream';
import Docker from 'dockerode';
import { EngineUnavailable, oneLine } from '../core/errors.ts';

/** Said after each failure: what an operator can do. */
const REMEDY = 'is dockerd running?';

export class EngineHttp {
  readonly #socketPath: string;
  readonly #modem: Docker['modem'];

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    // Without `connection: close` Node keeps a connection and finds out at the next call that the engine left.
    this.#modem = new Docker({
      socketPath,
      host: undefined,
      protocol: 'http',
      timeout: undefined,
      headers: { Connection: 'close' },
    }).modem;
  }

  /**
   * @param path with query, e.g. `/containers/json?all=1`
   * @returns the decoded JSON (or a Buffer, if the answer is none), undefined for 404
   * @throws EngineUnavailable after `timeoutMs` at the latest
   */
  async get(path: string, timeoutMs: number): Promise<unknown> {
    try {
      return await this.#dial(path, timeoutMs, false);
    } catch (error) {
      if (statusCodeOf(error) === 404) return undefined;
      throw this.#unavailable(path, error);
    }
  }

  /**
   * Opens a stream of which only the header has come.
   * @param signal ends the stream at any time
   * @throws EngineUnavailable if the header does not come within `timeoutMs`
   */
  async open(path: string, timeoutMs: number, signal: AbortSignal): Promise<Readable> {
    try {
      return (await this.#dial(path, timeoutMs, true, signal)) as Readable;
    } catch (error) {
      throw this.#unavailable(path, error);
    }
  }

  #dial(path: string, timeoutMs: number, isStream: boolean, signal?: AbortSignal): Promise<unknown> {
    const abort = new AbortController();
    const onAbort = (): void => abort.abort();
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) abort.abort();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no answer within ${timeoutMs} ms`));
        abort.abort();
      }, timeoutMs);
      const settle = (error: Error | null, result: unknown): void => {
        clearTimeout(timer);
        if (error !== null) reject(error);
        else resolve(result);
      };
      // The transport cuts the last character off a path that has a query.
      const sent = path.includes('?') ? `${path}&` : path;
      this.#modem.dial(
        { path: sent, method: 'GET', isStream, statusCodes: { 200: true }, abortSignal: abort.signal },
        settle,
      );
    }).finally(() => {
      if (!isStream) signal?.removeEventListener('abort', onAbort);
    });
  }

  #unavailable(path: string, error: unknown): EngineUnavailable {
    const reason = oneLine(error instanceof Error ? error.message : String(error));
    return new EngineUnavailable(
      `the Docker Engine API at ${this.#socketPath} failed on GET ${path.replace(/\?.*/, '')}: ${reason}; ${REMEDY}`,
      { cause: error },
    );
  }
}

function statusCodeOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : undefined;
}
