/**
 * A TCP proxy on loopback that a test can make faulty: lose the answers, cut the connections, hold either
 * direction back, refuse new connections. Knows nothing of what it carries.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** `up` = from the client to the server. */
export type Direction = 'up' | 'down';

const CUT_AFTER_LOSS_MS = 50;

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

export class TcpProxy {
  readonly #targetPort: number;
  readonly #pairs = new Set<Pair>();
  readonly #held: Record<Direction, (() => void)[]> = { up: [], down: [] };
  #listener: Server | undefined;
  #port = 0;
  #paused: Record<Direction, boolean> = { up: false, down: false };
  #dropAnswers = false;
  #cutAfterBytes = Number.POSITIVE_INFINITY;
  /** Bytes that came from the server, dropped ones too. */
  downBytes = 0;
  /** Connections that were accepted so far. */
  accepted = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await proxy.listen();
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Accepts (again), always on the same port. */
  async listen(): Promise<void> {
    this.#listener = createServer((client) => this.#carry(client)).listen(this.#port, '127.0.0.1');
    await once(this.#listener, 'listening');
    const address = this.#listener.address();
    if (address !== null && typeof address !== 'string') this.#port = address.port;
  }

  /** From now on new connections are refused and the present ones are cut. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    listener.close();
    this.cut();
    await once(listener, 'close');
  }

  /** Resets every connection there is. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Requests still arrive; what the server answers is thrown away, and each time the connection is cut. */
  loseAnswers(on: boolean): void {
    this.#dropAnswers = on;
  }

  /** Cuts once, after so many more bytes from the server were passed on. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = this.downBytes + bytes;
  }

  /** Holds one direction back, byte for byte, until `resume`. */
  pause(direction: Direction): void {
    this.#paused[direction] = true;
  }

  resume(direction: Direction): void {
    this.#paused[direction] = false;
    for (const pass of this.#held[direction].splice(0)) pass();
  }

  async stop(): Promise<void> {
    await this.refuse();
  }

  #carry(client: Socket): void {
    this.accepted += 1;
    const pair = { client, server: connect(this.#targetPort, '127.0.0.1') };
    const { server } = pair;
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.setNoDelay(true).on('error', end).on('close', end);
    client.on('data', (bytes) => this.#pass('up', () => server.write(bytes)));
    server.on('data', (bytes) => this.#pass('down', () => this.#answer(pair, bytes)));
  }

  #pass(direction: Direction, write: () => void): void {
    if (this.#paused[direction]) this.#held[direction].push(write);
    else write();
  }

  #answer(pair: Pair, bytes: Buffer): void {
    this.downBytes += bytes.length;
    if (this.#dropAnswers) {
      // A moment later, so that the server has surely done what was asked.
      setTimeout(() => pair.client.resetAndDestroy(), CUT_AFTER_LOSS_MS);
      return;
    }
    pair.client.write(bytes);
    if (this.downBytes >= this.#cutAfterBytes) {
      this.#cutAfterBytes = Number.POSITIVE_INFINITY;
      this.cut();
    }
  }
}
