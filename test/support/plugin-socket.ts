/**
 * The plugin's socket as anybody on the machine could use it: requests that no engine would send.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Machine } from './machine.ts';

export interface PluginReply {
  readonly status: number;
  /** Of the JSON answer, with the id of the request made equal; undefined if there is none. */
  readonly Err: string | undefined;
  readonly body: unknown;
}

export class LabPluginSocket {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Sends `body` as it is, if it is text, else as JSON. Rejects if the answer is not JSON. */
  async call(method: string, body: unknown, verb = 'POST'): Promise<PluginReply> {
    const socketPath = await this.#path();
    const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
    const length = { 'Content-Length': Buffer.byteLength(bytes) };
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request({ socketPath, method: verb, path: `/${method}`, headers: length, agent: false });
      sent.on('error', reject);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: String(Buffer.concat(chunks)) }),
        );
      });
      sent.end(bytes);
    });
    const reply: unknown = JSON.parse(text);
    const { Err, Error: ipamErr } = reply as { Err?: string; Error?: string };
    if (Err !== ipamErr) throw new Error(`${method}: Err and Error differ: ${text}`);
    return { status, body: reply, Err: Err?.replace(/req [0-9a-f]{6}/, 'req ID') };
  }

  /** Writes bytes to a connection of its own; resolves to all that came back when it is closed, or after `waitMs`. */
  async raw(bytes: string | Uint8Array, waitMs = 1000): Promise<string> {
    const socket = connect(await this.#path());
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.write(bytes);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    socket.destroy();
    return String(Buffer.concat(chunks));
  }

  #path(): Promise<string> {
    return this.#machine.path('/run/docker/plugins/lanius.sock');
  }
}
