/**
 * The plugin protocol over HTTP: bytes to a method's request, a method's outcome to bytes, one log line a call.
 *
 * INVARIANTS
 * - Every request is answered with a JSON object within the handler's time limit; the engine has none of its own.
 * - A handler that outlives its limit runs on; how it ended is logged, and `drain` waits for it.
 * - No request crashes the process: not malformed, too large, too deep, of the wrong type, or without `Host`.
 * - Idle connections are never closed by us: the engine would meet a dead one and retry WITHOUT ITS BODY.
 *
 * Source: moby docs/extend/plugin_api.md; pkg/plugins/client.go; moby/moby#39331 (retry with an empty body).
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import express, { type Express } from 'express';
import type { Clock } from '../core/clock.ts';
import { type Deadline, deadlineAfter, within } from '../core/deadline.ts';
import { InvalidRequest, NotFound } from '../core/errors.ts';
import { randomId } from '../core/ids.ts';
import type { LogFields, Logger } from '../core/log.ts';
import { parseBody, readBody } from './body.ts';
import { idFields } from './call-fields.ts';
import type { PluginMethods } from './methods.ts';
import { errorOf, failureOf, LEVEL, STATUS, send } from './reply.ts';

export interface PluginAppOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** Limit of every call. */
  readonly handlerTimeoutMs: number;
  /** Limit of the calls that wait for a link to be made. */
  readonly linkTimeoutMs: number;
}

export interface PluginApp {
  readonly app: Express;
  /** Handlers at work, also those that were answered already because their time was up. */
  inFlight(): number;
  /**
   * Waits until no handler is at work. From now on each reply closes its connection.
   * @returns false if some are still at work after `timeoutMs`
   */
  drain(timeoutMs: number): Promise<boolean>;
}

/** A handler's share of the limit: it knows why it is late (etcd, the kernel) and says so before it is cut off. */
const WORK_SHARE = 0.8;

/** Switches off every timer of Node that could close a connection which the engine keeps for later. */
export function configureServer(server: Server): void {
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
}

export function createPluginApp(methods: PluginMethods, options: PluginAppOptions): PluginApp {
  const calls = new Calls(methods, options);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((request: IncomingMessage, response: ServerResponse) => calls.serve(request, response));
  return { app, inFlight: () => calls.inFlight, drain: (timeoutMs) => calls.drain(timeoutMs) };
}

/** One request's facts, for its log line. */
interface Call {
  readonly method: string;
  readonly requestId: string;
  readonly startedAt: number;
  fields: LogFields;
}

class Calls {
  readonly #methods: PluginMethods;
  readonly #options: PluginAppOptions;
  readonly #waiting = new Set<() => void>();
  #atWork = 0;
  #draining = false;

  constructor(methods: PluginMethods, options: PluginAppOptions) {
    this.#methods = methods;
    this.#options = options;
  }

  get inFlight(): number {
    return this.#atWork;
  }

  async drain(timeoutMs: number): Promise<boolean> {
    this.#draining = true;
    if (this.#atWork === 0) return true;
    return await new Promise<boolean>((resolve) => {
      const idle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(idle);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(idle);
        resolve(false);
      }, timeoutMs);
      this.#waiting.add(idle);
    });
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock } = this.#options;
    const method = (request.url ?? '').split('?', 1)[0]?.slice(1) ?? '';
    const call: Call = { method, requestId: randomId(3), startedAt: clock.now(), fields: {} };
    const verb = method.slice(method.indexOf('.') + 1);
    const limitMs = this.#limitOf(method);
    const limit = deadlineAfter(limitMs, clock);
    const deadline = deadlineAfter(limitMs * WORK_SHARE, clock);
    this.#atWork++;
    let settled = false;
    const running = this.#run(request, call, deadline).finally(() => {
      settled = true;
      this.#settled();
    });
    try {
      const reply = await within(running, limit, verb);
      const answered = send(response, 200, reply, this.#draining);
      this.#log('info', call, { outcome: answered ? 'ok' : 'unanswered' });
    } catch (thrown) {
      const error = errorOf(thrown, verb);
      const status = this.#methods.has(method) ? STATUS[error.code] : 404;
      send(response, status, failureOf(error, call.requestId), this.#draining);
      this.#log(LEVEL[error.code], call, { outcome: 'error', code: error.code, err: error });
      if (!settled) this.#awaitLate(running, call);
    }
  }

  #limitOf(method: string): number {
    const { handlerTimeoutMs, linkTimeoutMs } = this.#options;
    return this.#methods.get(method)?.waitsForKernel === true ? linkTimeoutMs : handlerTimeoutMs;
  }

  /** @throws DriverError, ZodError */
  async #run(request: IncomingMessage, call: Call, deadline: Deadline): Promise<object> {
    const text = await readBody(request);
    const entry = this.#methods.get(call.method);
    if (entry === undefined) {
      throw new NotFound(`the plugin has no method ${JSON.stringify(call.method.slice(0, 64))}`);
    }
    if (request.method !== 'POST') throw new InvalidRequest(`${call.method} must be called with POST`);
    const body = parseBody(text, call.method, entry.emptyBody);
    call.fields = idFields(body);
    const logger = this.#options.logger.child({ method: call.method, requestId: call.requestId });
    logger.debug('plugin call payload', { payload: text.slice(0, 4096) });
    const reply = await entry.handle(body, { deadline, logger });
    if (call.fields.address === undefined) call.fields = { ...idFields(reply), ...call.fields };
    return reply;
  }

  /** Says how a handler ended whose caller was answered `deadline` already. */
  #awaitLate(running: Promise<object>, call: Call): void {
    const { logger } = this.#options;
    const late = (outcome: string, err?: unknown): void => {
      logger.warn('plugin call ended after its deadline', {
        ...this.#facts(call),
        outcome,
        ...(err === undefined ? {} : { err }),
      });
    };
    running.then(
      () => late('ok'),
      (err: unknown) => late('error', err),
    );
  }

  #settled(): void {
    this.#atWork--;
    if (this.#atWork > 0) return;
    for (const idle of this.#waiting) idle();
  }

  #log(level: 'info' | 'warn' | 'error', call: Call, fields: LogFields): void {
    this.#options.logger[level]('plugin call', { ...this.#facts(call), ...fields });
  }

  #facts({ method, requestId, startedAt, fields }: Call): LogFields {
    const durationMs = Math.round((this.#options.clock.now() - startedAt) * 100) / 100;
    return { method: method.slice(0, 64), requestId, ...fields, durationMs };
  }
}
