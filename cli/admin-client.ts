/**
 * The daemon's admin socket as the commands see it.
 *
 * Must not: retry. A person sees the error and decides.
 * @see plugin/wire/admin.ts
 */
import { request } from 'node:http';
import { DriverError, type ErrorCode, InternalError, InvalidRequest } from '../core/errors.ts';
import { errorReply, STALE_HEADER } from '../plugin/wire/admin.ts';

/** Reconciliation takes two looks some seconds apart; everything else is far faster. */
const TIMEOUT_MS = 60_000;
/** What Node answers to a request line of more than 16 kB. */
const HEADERS_TOO_LONG = 431;

/** Nobody answers at the admin socket. */
export class DaemonUnreachable extends DriverError {
  constructor(message: string, cause: unknown) {
    super('internal', message, { cause, retryable: true });
  }
}

export class AdminClient {
  readonly socketPath: string;
  readonly #onNote: (text: string) => void;

  /** @param onNote what the daemon says beside an answer: that it is from memory */
  constructor(socketPath: string, onNote: (text: string) => void = () => {}) {
    this.socketPath = socketPath;
    this.#onNote = onNote;
  }

  /**
   * @param query left out where undefined
   * @throws DriverError with the daemon's code and message; DaemonUnreachable
   */
  get<T>(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<T> {
    const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const search = new URLSearchParams(given).toString();
    return this.#call<T>('GET', search === '' ? path : `${path}?${search}`);
  }

  /** @throws DriverError with the daemon's code and message; DaemonUnreachable */
  post<T>(path: string, body: object): Promise<T> {
    return this.#call<T>('POST', path, JSON.stringify(body));
  }

  async #call<T>(method: string, path: string, body?: string): Promise<T> {
    const { status, text } = await this.#send(method, path, body);
    const reply = parseJson(text);
    if (status >= 200 && status < 300 && reply !== undefined) return reply as T;
    if (status === HEADERS_TOO_LONG) throw new InvalidRequest('the arguments are too long for one request');
    const failure = errorReply.safeParse(reply);
    if (!failure.success) {
      throw new InternalError(
        `${this.socketPath} answered ${status} in a shape that is not Lanius': another program has the socket`,
      );
    }
    const { code, message } = failure.data.error;
    throw new DriverError(code as ErrorCode, message);
  }

  #send(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
      const { socketPath } = this;
      const call = request(
        { socketPath, path, method, headers, timeout: TIMEOUT_MS, agent: false },
        (response) => {
          const note = response.headers[STALE_HEADER.toLowerCase()];
          if (typeof note === 'string') this.#onNote(note);
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
          response.on('error', (error) => reject(this.#unreachable(error)));
        },
      );
      call.on('timeout', () => call.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
      call.on('error', (error: NodeJS.ErrnoException) => reject(this.#unreachable(error)));
      call.end(body);
    });
  }

  #unreachable(error: NodeJS.ErrnoException): DriverError {
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      return new DaemonUnreachable(`no permission for ${this.socketPath}: use sudo`, error);
    }
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
      return new DaemonUnreachable(
        `the daemon does not answer at ${this.socketPath}: start it with systemctl start lanius`,
        error,
      );
    }
    const reason = error.message;
    return new DaemonUnreachable(
      `the daemon does not answer at ${this.socketPath}: ${reason}; see journalctl -u lanius`,
      error,
    );
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
