/**
 * Calls and streams to an etcd cluster: which member, until when, with which login. Sends every request at most
 * once; only *connecting* is tried at several members.
 *
 * Must not retry anything that left this process. The one repetition there is: etcd refuses a stale login token
 * before it executes anything, and then the request goes out again with a new one.
 *
 * @see ADR 0002; etcd server/etcdserver/v3_server.go (the token is checked before the proposal)
 */
import { Metadata } from '@grpc/grpc-js';
import type { IDuplexStream } from 'etcd3';
import type { Clock } from '../core/clock.ts';
import { deadlineAfter, within } from '../core/deadline.ts';
import { DeadlineExceeded, type DriverError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { callOnce, openStream, RpcError, type StreamMethods, type UnaryMethods } from './etcd-call.ts';
import { credentialsOf, type EtcdTls, hostOf } from './etcd-credentials.ts';
import { type Connection, EtcdEndpoint } from './etcd-endpoint.ts';
import {
  answeredWithError,
  failureOf,
  isStaleToken,
  isTransportFailure,
  notAnswered,
  notConnected,
  storeClosed,
} from './etcd-errors.ts';

/** Between two rounds in which every member refused. */
const ROUND_PAUSE_MS = 50;

export interface EtcdAuth {
  readonly username: string;
  readonly password: string;
}

export interface EtcdTransportOptions {
  /** `host:port`, with or without `http://` or `https://`. */
  readonly hosts: readonly string[];
  readonly tls?: EtcdTls;
  readonly auth?: EtcdAuth;
}

/** A stream and the end of its life. */
export interface OpenStream<Request, Response> {
  readonly stream: IDuplexStream<Request, Response>;
  readonly host: string;
  /** What an `error` of the stream means; another member is asked next. */
  failed(error: Error): DriverError;
  /** Ends it; idempotent. @param suspect true: it did not answer, take another connection next time */
  end(suspect?: boolean): void;
}

/** A member that is connected, and what was agreed with it. */
interface Line {
  readonly endpoint: EtcdEndpoint;
  readonly connection: Connection;
  readonly metadata: Metadata;
  /** The login that `metadata` carries. */
  readonly token: Promise<string> | undefined;
}

export class EtcdTransport {
  readonly #endpoints: readonly EtcdEndpoint[];
  readonly #auth: EtcdAuth | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #turn = 0;
  #token: Promise<string> | undefined;
  #closed = false;

  constructor(options: EtcdTransportOptions, dependencies: { clock: Clock; logger: Logger }) {
    this.#clock = dependencies.clock;
    this.#logger = dependencies.logger;
    const credentials = credentialsOf(options.hosts, options.tls);
    this.#endpoints = options.hosts.map(
      (host) => new EtcdEndpoint({ host: hostOf(host), credentials }, { clock: this.#clock }),
    );
    this.#auth = options.auth;
  }

  /**
   * One request, one answer, sent at most once.
   * @throws StoreUnavailable, InternalError or NotFound as `etcd-errors.ts` says
   */
  async call<M extends keyof UnaryMethods>(
    method: M,
    request: UnaryMethods[M][0],
    timeoutMs: number,
  ): Promise<UnaryMethods[M][1]> {
    const deadline = deadlineAfter(timeoutMs, this.#clock);
    let mayLogInAgain = this.#auth !== undefined;
    for (;;) {
      const line = await this.#line(deadline.leftMs(), timeoutMs);
      const { endpoint, connection } = line;
      if (connection.retired) continue;
      try {
        return await callOnce(connection, method, request, line.metadata, deadline.leftMs());
      } catch (thrown) {
        if (thrown instanceof DeadlineExceeded) {
          this.#suspect(endpoint, connection);
          throw notAnswered(endpoint.host, timeoutMs);
        }
        if (!(thrown instanceof RpcError)) throw thrown;
        if (isStaleToken(thrown.failure)) {
          this.#forget(line.token);
          if (mayLogInAgain) {
            mayLogInAgain = false;
            continue;
          }
        }
        if (isTransportFailure(thrown.failure)) this.#rotate(endpoint);
        throw answeredWithError(thrown.failure, endpoint.host, method);
      }
    }
  }

  /**
   * Opens a stream on the current member.
   * @param onCut called if its connection is given up because something else on it was not answered
   * @throws StoreUnavailable, surely nothing was sent
   */
  async open<M extends keyof StreamMethods>(
    method: M,
    onCut: () => void,
    timeoutMs: number,
  ): Promise<OpenStream<StreamMethods[M][0], StreamMethods[M][1]>> {
    const deadline = deadlineAfter(timeoutMs, this.#clock);
    let line = await this.#line(timeoutMs, timeoutMs);
    while (line.connection.retired) line = await this.#line(deadline.leftMs(), timeoutMs);
    const { endpoint, connection, metadata, token } = line;
    // A member without a leader then ends the stream instead of keeping it alive and silent.
    metadata.set('hasleader', 'true');
    const stream = openStream(connection, method, metadata);
    // Without a listener an error that comes after our cancel would end the process.
    stream.on('error', () => {});
    const ended = connection.begin(onCut);
    return {
      stream,
      host: endpoint.host,
      failed: (error) => {
        const failure = failureOf(error);
        if (isStaleToken(failure)) this.#forget(token);
        if (isTransportFailure(failure)) this.#rotate(endpoint);
        return answeredWithError(failure, endpoint.host, method);
      },
      end: (suspect = false) => {
        ended();
        stream.cancel();
        if (suspect) this.#suspect(endpoint, connection);
      },
    };
  }

  /** The next call logs in anew. */
  forgetLogin(): void {
    this.#token = undefined;
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  async #line(limitMs: number, timeoutMs: number): Promise<Line> {
    const deadline = deadlineAfter(limitMs, this.#clock);
    const { endpoint, connection } = await this.#connect(limitMs, timeoutMs);
    const metadata = new Metadata();
    if (this.#auth === undefined) return { endpoint, connection, metadata, token: undefined };
    this.#token ??= authenticate(connection, this.#auth, timeoutMs);
    const token = this.#token;
    try {
      const text = await within(token, deadline, 'the login at etcd');
      if (text !== '') metadata.set('token', text);
      return { endpoint, connection, metadata, token };
    } catch (thrown) {
      this.#forget(token);
      if (thrown instanceof DeadlineExceeded) {
        this.#suspect(endpoint, connection);
        throw notConnected([endpoint.host], timeoutMs);
      }
      if (!(thrown instanceof RpcError)) throw thrown;
      if (!isTransportFailure(thrown.failure)) {
        throw answeredWithError(thrown.failure, endpoint.host, 'Auth/authenticate');
      }
      this.#rotate(endpoint);
      throw notConnected([endpoint.host], timeoutMs);
    }
  }

  /** The first member that can be connected, beginning with the current one. */
  async #connect(
    limitMs: number,
    timeoutMs: number,
  ): Promise<{ endpoint: EtcdEndpoint; connection: Connection }> {
    const deadline = deadlineAfter(limitMs, this.#clock);
    const alone = this.#endpoints.length === 1;
    for (;;) {
      for (let i = 0; i < this.#endpoints.length; i += 1) {
        const leftMs = deadline.leftMs();
        const endpoint = this.#endpoint();
        const connection = await endpoint.connected(alone ? leftMs : leftMs / 2, alone);
        if (this.#closed) throw storeClosed();
        if (connection !== undefined) return { endpoint, connection };
        if (deadline.leftMs() < 1) {
          this.#rotate(endpoint);
          const hosts = this.#endpoints.map(({ host }) => host);
          throw notConnected(hosts, timeoutMs);
        }
        this.#rotate(endpoint);
      }
      // Without a pause this would be a busy loop.
      await new Promise((resolve) => setTimeout(resolve, ROUND_PAUSE_MS));
    }
  }

  #endpoint(): EtcdEndpoint {
    const endpoint = this.#endpoints[this.#turn % this.#endpoints.length];
    if (endpoint === undefined) throw storeClosed();
    return endpoint;
  }

  /** Many calls fail at once when a member dies: only the first of them moves on. */
  #rotate(from: EtcdEndpoint): void {
    if (this.#endpoint() === from) this.#turn += 1;
  }

  #suspect(endpoint: EtcdEndpoint, connection: Connection): void {
    this.#logger.debug('etcd did not answer, its connection is replaced', { host: endpoint.host });
    endpoint.replace(connection);
    this.#rotate(endpoint);
  }

  /** Many calls learn at once that a token is stale: only the first of them drops it. */
  #forget(token: Promise<string> | undefined): void {
    if (this.#token === token) this.#token = undefined;
  }
}

/** @returns a token, or an empty text if etcd runs without authentication @throws RpcError, DeadlineExceeded */
async function authenticate(connection: Connection, auth: EtcdAuth, timeoutMs: number): Promise<string> {
  const request = { name: auth.username, password: auth.password };
  try {
    const answer = await callOnce(connection, 'Auth/authenticate', request, new Metadata(), timeoutMs);
    return answer.token;
  } catch (thrown) {
    const isOff =
      thrown instanceof RpcError && thrown.failure.details.includes('authentication is not enabled');
    if (isOff) return '';
    throw thrown;
  }
}
