/**
 * One gRPC call over one connection: sent once, ended in time. The typed table of what Lanius uses of etcd.
 *
 * @see etcd api/etcdserverpb/rpc.proto
 */
import type { CallOptions, Metadata } from '@grpc/grpc-js';
import type {
  IAuthenticateRequest,
  IAuthenticateResponse,
  IDuplexStream,
  ILeaseGrantRequest,
  ILeaseGrantResponse,
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  ILeaseRevokeRequest,
  ILeaseRevokeResponse,
  IRangeRequest,
  IRangeResponse,
  IStatusResponse,
  IWatchRequest,
  IWatchResponse,
} from 'etcd3';
import { DeadlineExceeded } from '../core/errors.ts';
import type { Connection, Service } from './etcd-endpoint.ts';
import type { RpcFailure } from './etcd-errors.ts';

/** Request and answer of every unary call that is used. */
export interface UnaryMethods {
  'KV/range': [IRangeRequest, IRangeResponse];
  /** Encoded, see etcd-txn-codec.ts. */
  'KV/txn': [Buffer, Buffer];
  'Lease/leaseGrant': [ILeaseGrantRequest, ILeaseGrantResponse];
  'Lease/leaseRevoke': [ILeaseRevokeRequest, ILeaseRevokeResponse];
  'Maintenance/status': [Record<string, never>, IStatusResponse];
  'Auth/authenticate': [IAuthenticateRequest, IAuthenticateResponse];
}

export interface StreamMethods {
  'Lease/leaseKeepAlive': [ILeaseKeepAliveRequest, ILeaseKeepAliveResponse];
  'Watch/watch': [IWatchRequest, IWatchResponse];
}

/** What gRPC or etcd answered instead of a result. */
export class RpcError extends Error {
  readonly failure: RpcFailure;

  constructor(failure: RpcFailure) {
    super(failure.details);
    this.failure = failure;
  }
}

type UnaryCallback = (error: RpcFailure | null, answer: unknown) => void;
type RpcMethod = (...parameters: readonly unknown[]) => unknown;

/**
 * @throws RpcError
 * @throws DeadlineExceeded by our own timer, which also holds where gRPC's deadline does not
 */
export function callOnce<M extends keyof UnaryMethods>(
  connection: Connection,
  method: M,
  request: UnaryMethods[M][0],
  metadata: Metadata,
  limitMs: number,
): Promise<UnaryMethods[M][1]> {
  const timeoutMs = Math.max(0, limitMs);
  return new Promise((resolve, reject) => {
    const ended = connection.begin();
    let cancel = () => {};
    const timer = setTimeout(() => {
      ended();
      reject(new DeadlineExceeded(`${method} was not answered`));
      cancel();
    }, timeoutMs);
    const callback: UnaryCallback = (error, answer) => {
      clearTimeout(timer);
      ended();
      if (error === null) resolve(answer as UnaryMethods[M][1]);
      else reject(new RpcError(error));
    };
    // Tells the server until when the answer is wanted; our own timer is the one that counts.
    const options = { deadline: new Date(Date.now() + timeoutMs + 50) };
    const call = ENCODED.has(method)
      ? sendBytes(connection, method, request as Buffer, metadata, options, callback)
      : (methodOf(connection, method)(request, metadata, options, callback) as { cancel(): void });
    cancel = () => call.cancel();
  });
}

const TXN_PATH = '/etcdserverpb.KV/Txn';

/** Their messages come and go as bytes. */
const ENCODED: ReadonlySet<keyof UnaryMethods> = new Set(['KV/txn'] as const);

function sendBytes(
  connection: Connection,
  method: keyof UnaryMethods,
  request: Buffer,
  metadata: Metadata,
  options: CallOptions,
  callback: UnaryCallback,
): { cancel(): void } {
  const [service] = method.split('/') as [Service, string];
  const asIs = (bytes: Buffer): Buffer => bytes;
  return connection
    .stub(service)
    .makeUnaryRequest(TXN_PATH, asIs, asIs, request, metadata, options, callback);
}

/** Opens a stream; its errors must be listened for by the caller. */
export function openStream<M extends keyof StreamMethods>(
  connection: Connection,
  method: M,
  metadata: Metadata,
): IDuplexStream<StreamMethods[M][0], StreamMethods[M][1]> {
  return methodOf(connection, method)(metadata, {}) as IDuplexStream<
    StreamMethods[M][0],
    StreamMethods[M][1]
  >;
}

/** The stubs are made from the proto files at run time, so they have no types. */
function methodOf(connection: Connection, method: keyof UnaryMethods | keyof StreamMethods): RpcMethod {
  const [service, name] = method.split('/') as [Service, string];
  const stub = connection.stub(service) as unknown as Record<string, RpcMethod>;
  const found = stub[name];
  if (found === undefined) throw new Error(`the proto files of etcd3 have no ${method}`);
  return found.bind(stub);
}
