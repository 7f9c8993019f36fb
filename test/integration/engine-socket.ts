/**
 * A unix socket that answers like an engine, so that it can be cut, silent or wrong at will; HTTP, socket and time
 * limits are the real ones. What a real engine answers is tested in engine-dockerd.test.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export type Route = (response: ServerResponse, request: IncomingMessage) => void;

export class EngineSocket {
  readonly path: string;
  /** Paths without their query. */
  readonly asked: string[] = [];
  /** Queries, decoded, in the same order. */
  readonly queries: string[] = [];
  routes: Record<string, Route> = {};
  #server: Server | undefined;

  constructor(path: string) {
    this.path = path;
  }

  async open(): Promise<void> {
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '').replace(/\?.*/, '');
      this.asked.push(path);
      this.queries.push(decodeURIComponent((request.url ?? '').replace(/^[^?]*\??/, '')));
      const route = this.routes[path];
      if (route === undefined) response.writeHead(404).end('{"message":"no such thing"}');
      else route(response, request);
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.path, resolve));
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}

export const json =
  (value: unknown): Route =>
  (response) => {
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(value));
  };
/** Takes the request and is silent. */
export const hang: Route = () => {};
