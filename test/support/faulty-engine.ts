/**
 * The Engine API of a machine behind a second socket that can be made to lie, to be silent or to be absent, for a
 * daemon whose `docker.socket` points there. The engine itself is real and not disturbed: only the daemon's sight is.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { Machine } from './machine.ts';

/** Takes a request of the daemon: answers it, or not, or passes it on. */
export type Behaviour = (ask: Ask) => unknown;

export interface Ask {
  /** Without query and API version. */
  readonly path: string;
  readonly response: ServerResponse;
  /** The engine's own answer, as it comes. */
  pass(): void;
  /** The engine's answer, decoded; null if it is an error. */
  truth(): Promise<unknown>;
  say(value: unknown, status?: number): void;
}

/** Where the daemon looks for the engine. */
export const FAULTY_SOCKET = '/run/faulty-docker.sock';
/** Says nothing but the truth. */
export const truthful: Behaviour = (ask) => ask.pass();

export class FaultyEngine {
  readonly #enginePath: string;
  readonly #path: string;
  #server: Server | undefined;
  #behaviour: Behaviour = truthful;
  /** Requests so far. */
  asked = 0;

  private constructor(enginePath: string, path: string) {
    this.#enginePath = enginePath;
    this.#path = path;
  }

  static async open(machine: Machine): Promise<FaultyEngine> {
    const engine = await machine.path('/run/docker.sock');
    const faulty = new FaultyEngine(engine, await machine.path(FAULTY_SOCKET));
    await faulty.return();
    return faulty;
  }

  /** The socket as this process can open it. */
  get path(): string {
    return this.#path;
  }

  /** From the next request on. @param cut also ends what is under way, as an engine's restart does */
  behave(behaviour: Behaviour, cut = false): void {
    this.#behaviour = behaviour;
    if (cut) this.#server?.closeAllConnections();
  }

  /** No socket, no connection. Idempotent. */
  async leave(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    rmSync(this.#path, { force: true });
  }

  /** Idempotent. */
  async return(): Promise<void> {
    if (this.#server !== undefined) return;
    rmSync(this.#path, { force: true });
    const server = createServer((incoming, response) => this.#take(incoming, response));
    this.#server = server;
    server.listen(this.#path);
    await once(server, 'listening');
  }

  #take(incoming: IncomingMessage, response: ServerResponse): void {
    this.asked += 1;
    response.on('error', () => {});
    const url = incoming.url ?? '/';
    const ask: Ask = {
      path: url.replace(/\?.*/, '').replace(/^\/v[\d.]+/, ''),
      response,
      pass: () => this.#pass(url, response),
      truth: () => this.#truth(url),
      say: (value, status = 200) => {
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
      },
    };
    this.#behaviour(ask);
  }

  #pass(path: string, response: ServerResponse): void {
    const outgoing = request({ socketPath: this.#enginePath, path, agent: false });
    outgoing.on('error', () => response.destroy());
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 500, { 'Content-Type': answer.headers['content-type'] ?? '' });
      response.flushHeaders(); // those of /events come long before the first event
      answer.on('error', () => response.destroy());
      answer.pipe(response);
    });
    response.on('close', () => outgoing.destroy());
    outgoing.end();
  }

  async #truth(path: string): Promise<unknown> {
    const outgoing = request({ socketPath: this.#enginePath, path, agent: false }).end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return answer.statusCode === 200 ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : null;
  }
}
