/**
 * One etcd member as a gRPC channel that Lanius controls: waiting until it is connected, replacing it by a fresh
 * TCP connection when it no longer answers, keepalive, TLS.
 *
 * Uses the service stubs and proto files of the npm package etcd3, and none of its connection pool (ADR 0002).
 *
 * INVARIANTS
 * - At most one current connection; a retired one lives until its last call has ended, then it is closed.
 * - Everything that streams over a connection is cut when that connection retires, and told so.
 *
 * @see grpc doc/connectivity-semantics-and-api.md, doc/keepalive.md
 */
import { Channel, type ChannelCredentials, type ChannelOptions, connectivityState } from '@grpc/grpc-js';
import { Host } from 'etcd3/lib/connection-pool.js';
import type { Clock } from '../core/clock.ts';

/** Longest sleep between two looks at a channel that is not connected. */
const LOOK_AGAIN_MS = 100;
/** A connection attempt that hangs for so long is given up for a new one (a firewall drops our packets). */
const HANGING_CONNECT_MS = 1000;

/**
 * - no retries of grpc-js either: with them it repeats what it believes was not executed;
 * - own subchannels: a replaced channel must be a new TCP connection;
 * - keepalive not under 5 s and only while calls are open, or etcd answers GOAWAY "too many pings"
 *   (etcd --grpc-keepalive-min-time);
 * - reconnects within a quarter of a second instead of two minutes;
 * - no proxy from the environment: etcd is near, and may be on loopback.
 */
const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.keepalive_time_ms': 6000,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 250,
  'grpc.dns_min_time_between_resolutions_ms': 1000,
  'grpc.enable_http_proxy': 0,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

export type Service = 'KV' | 'Lease' | 'Watch' | 'Maintenance' | 'Auth';
export type Stub = ReturnType<Host['getServiceClient']>;

/** One channel and what runs over it. */
export class Connection {
  readonly channel: Channel;
  readonly #stubs: Host;
  readonly #cuts = new Set<() => void>();
  #open = 0;
  #retired = false;

  constructor(target: string, credentials: ChannelCredentials) {
    this.channel = new Channel(target, credentials, CHANNEL_OPTIONS);
    this.#stubs = new Host(target, credentials, withChannel(this.channel));
  }

  /** True once it takes no more calls; look right before sending, without waiting in between. */
  get retired(): boolean {
    return this.#retired;
  }

  stub(service: Service): Stub {
    return this.#stubs.getServiceClient(service);
  }

  /**
   * Notes a call or stream that runs over this connection.
   * @param cut called if the connection retires meanwhile; for streams
   * @returns to be called once, at its end
   */
  begin(cut?: () => void): () => void {
    this.#open += 1;
    if (cut !== undefined) this.#cuts.add(cut);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#open -= 1;
      if (cut !== undefined) this.#cuts.delete(cut);
      if (this.#retired && this.#open === 0) this.channel.close();
    };
  }

  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#open === 0) this.channel.close();
    for (const cut of [...this.#cuts]) cut();
  }
}

export class EtcdEndpoint {
  /** `host:port`, for people. */
  readonly host: string;
  readonly #credentials: ChannelCredentials;
  readonly #clock: Clock;
  #current: Connection;
  #closed = false;

  constructor(options: { host: string; credentials: ChannelCredentials }, dependencies: { clock: Clock }) {
    this.host = options.host;
    this.#credentials = options.credentials;
    this.#clock = dependencies.clock;
    this.#current = new Connection(this.host, this.#credentials);
  }

  /**
   * The connection, once it stands.
   * @param patient false: give up at the first refusal, because another member can be asked
   * @returns undefined if none came about; then nothing was sent
   */
  async connected(limitMs: number, patient: boolean): Promise<Connection | undefined> {
    const startedAt = this.#clock.now();
    let state: connectivityState = connectivityState.IDLE;
    while (!this.#closed) {
      const connection = this.#current;
      state = connection.channel.getConnectivityState(true);
      if (state === connectivityState.READY) return connection;
      if (state === connectivityState.TRANSIENT_FAILURE && !patient) return undefined;
      const leftMs = limitMs - (this.#clock.now() - startedAt);
      if (leftMs <= 0) break;
      await stateChange(connection.channel, state, Math.min(leftMs, LOOK_AGAIN_MS));
    }
    const hung =
      state === connectivityState.CONNECTING && this.#clock.now() - startedAt >= HANGING_CONNECT_MS;
    if (hung && !this.#closed) this.replace(this.#current);
    return undefined;
  }

  /** Gives up a connection that does not answer; the next call makes a new one. Idempotent per connection. */
  replace(connection: Connection): void {
    if (this.#closed || connection !== this.#current) return;
    this.#current = new Connection(this.host, this.#credentials);
    connection.retire();
  }

  close(): void {
    this.#closed = true;
    this.#current.retire();
  }
}

/** The stubs of all services share the one channel. */
function withChannel(channel: Channel): ChannelOptions {
  return { ...CHANNEL_OPTIONS, channelOverride: channel };
}

function stateChange(channel: Channel, from: connectivityState, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    try {
      channel.watchConnectivityState(from, new Date(Date.now() + limitMs), () => resolve());
    } catch {
      // Closed meanwhile: the caller looks again.
      resolve();
    }
  });
}
