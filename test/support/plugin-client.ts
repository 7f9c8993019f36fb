/**
 * The engine's side of the plugin socket: calls as dockerd makes them (POST, no Content-Type, one JSON body), and a
 * server on a socket of its own for the handlers under test.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../core/clock.ts';
import { type LogFields, type Logger, silentLogger } from '../../core/log.ts';
import type { PluginMethods } from '../../plugin/methods.ts';
import { configureServer, createPluginApp, type PluginApp } from '../../plugin/server.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The reply, or {} if it is no object. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface LogLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly fields: LogFields;
}

/** Keeps every line. */
export function recordingLogger(lines: LogLine[], always: LogFields = {}): Logger {
  const at =
    (level: LogLine['level']) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields: { ...always, ...fields } });
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: (fields) => recordingLogger(lines, { ...always, ...fields }),
  };
}

export class PluginSocket {
  readonly path: string;
  readonly plugin: PluginApp;
  readonly server: Server;
  readonly #folder: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 50 });

  private constructor(folder: string, plugin: PluginApp) {
    this.#folder = folder;
    this.path = join(folder, 'plugin.sock');
    this.plugin = plugin;
    this.server = createServer(plugin.app);
    configureServer(this.server);
  }

  static async open(
    methods: PluginMethods,
    { logger = silentLogger, handlerTimeoutMs = 10_000 }: { logger?: Logger; handlerTimeoutMs?: number } = {},
  ): Promise<PluginSocket> {
    const plugin = createPluginApp(methods, {
      logger,
      clock: systemClock,
      handlerTimeoutMs,
      linkTimeoutMs: handlerTimeoutMs,
    });
    const socket = new PluginSocket(mkdtempSync(join(tmpdir(), 'lanius-plugin-')), plugin);
    socket.server.listen(socket.path);
    await once(socket.server, 'listening');
    return socket;
  }

  /** @param body text, or a value that is sent as JSON; "" for none */
  async call(
    method: string,
    body: unknown = '',
    options: { verb?: string; host?: string } = {},
  ): Promise<Answer> {
    const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return await new Promise<Answer>((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.path,
          agent: this.#agent,
          method: options.verb ?? 'POST',
          path: `/${method}`,
          headers: {
            Host: options.host ?? 'plugin.moby.localhost',
            Accept: 'application/vnd.docker.plugins.v1.2+json',
            'User-Agent': 'Go-http-client/1.1',
            'Content-Length': Buffer.byteLength(text),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            const reply = Buffer.concat(chunks).toString('utf8');
            const { statusCode = 0, headers } = incoming;
            resolve({ status: statusCode, headers, text: reply, body: objectOf(reply) });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    this.server.close();
    this.server.closeAllConnections();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function objectOf(text: string): Record<string, unknown> {
  const value: unknown = text === '' ? {} : JSON.parse(text);
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
