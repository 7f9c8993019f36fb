/**
 * Failures of etcd and of the way to it, as errors of Lanius. The one place where texts of etcd are read: its
 * gRPC codes alone do not tell a full database from too many requests.
 *
 * The rule: whatever was surely refused before it was executed is `outcomeUnknown: false`; anything doubtful is
 * `true`, because a wrong "surely not" makes an address lost or given twice.
 *
 * @see etcd server/etcdserver/api/v3rpc/rpctypes/error.go (codes and texts)
 * @see grpc doc/statuscodes.md
 */
import { status } from '@grpc/grpc-js';
import { type DriverError, InternalError, NotFound, oneLine, StoreUnavailable } from '../core/errors.ts';

const REMEDY = 'check that etcd runs and is reachable (lanius doctor)';

/** What grpc-js rejects a call with, reduced to what is used. */
export interface RpcFailure {
  readonly code: number;
  readonly details: string;
}

/** No connection came about, so nothing was sent. */
export function notConnected(hosts: readonly string[], timeoutMs: number): StoreUnavailable {
  const text = `etcd at ${hosts.join(', ')} does not answer within ${Math.round(timeoutMs)} ms (no connection)`;
  return new StoreUnavailable(`${text}: ${REMEDY}`, { outcomeUnknown: false });
}

/** The request went out and no answer came in time. */
export function notAnswered(host: string, timeoutMs: number): StoreUnavailable {
  return new StoreUnavailable(
    `etcd at ${host} does not answer within ${Math.round(timeoutMs)} ms: ${REMEDY}`,
    {
      outcomeUnknown: true,
    },
  );
}

/** The store was closed by ourselves: the daemon stops. */
export function storeClosed(): StoreUnavailable {
  return new StoreUnavailable('the connection to etcd is closed: the daemon is stopping', {
    outcomeUnknown: false,
  });
}

/**
 * An answer of etcd that is an error, or a broken connection after the request was sent.
 * @param what the call for people, e.g. `KV/txn`
 */
export function answeredWithError(failure: RpcFailure, host: string, what: string): DriverError {
  const reason = oneLine(failure.details);
  const details = { method: what, grpcCode: failure.code };
  const known = { details, cause: failure, outcomeUnknown: false };
  switch (failure.code) {
    case status.RESOURCE_EXHAUSTED:
      return reason.includes('space exceeded')
        ? new StoreUnavailable(
            `etcd at ${host} refuses writes, its database is full (alarm NOSPACE): compact and defragment it, then "etcdctl alarm disarm"`,
            known,
          )
        : new StoreUnavailable(`etcd at ${host} is overloaded (${reason}): ${REMEDY}`, {
            ...known,
            // A message over the size limit of our own side is also RESOURCE_EXHAUSTED, after execution.
            outcomeUnknown: !reason.startsWith('etcdserver:'),
          });
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return accessRefused(host, reason, known);
    case status.INVALID_ARGUMENT:
      if (/user name is empty|authentication failed|auth store/.test(reason)) {
        return accessRefused(host, reason, known);
      }
      return new InternalError(
        `etcd refused a ${what} request as malformed (${reason}): report this bug`,
        known,
      );
    case status.FAILED_PRECONDITION:
      return accessRefused(host, reason, known);
    case status.NOT_FOUND:
      return new NotFound(`etcd at ${host}: ${reason.replace(/^etcdserver: /, '')}`, known);
    case status.OUT_OF_RANGE:
      return new StoreUnavailable(
        `etcd at ${host} no longer has that revision (${reason}): list anew and go on from there`,
        known,
      );
    case status.UNIMPLEMENTED:
      return new StoreUnavailable(
        `etcd at ${host} does not know ${what}: etcd 3.4 or newer is needed`,
        known,
      );
    case status.DEADLINE_EXCEEDED:
      return new StoreUnavailable(`etcd at ${host} gave up (${reason}): ${REMEDY}`, {
        ...known,
        outcomeUnknown: true,
      });
    case status.UNAVAILABLE:
      // Only etcd's own words come from an etcd that lives; the rest is gRPC's, about a connection that broke.
      if (!reason.startsWith('etcdserver:')) {
        return new StoreUnavailable(`etcd at ${host} does not answer (${reason}): ${REMEDY}`, {
          ...known,
          outcomeUnknown: true,
        });
      }
      return notCompleted(host, what, reason, known);
    default:
      return notCompleted(host, what, reason, known);
  }
}

function notCompleted(
  host: string,
  what: string,
  reason: string,
  options: { readonly cause: unknown },
): StoreUnavailable {
  return new StoreUnavailable(`etcd at ${host} did not complete ${what} (${reason}): ${REMEDY}`, {
    ...options,
    outcomeUnknown: true,
  });
}

function accessRefused(
  host: string,
  reason: string,
  options: { readonly cause: unknown; readonly outcomeUnknown: boolean },
): StoreUnavailable {
  return new StoreUnavailable(
    `etcd at ${host} refuses access (${reason}): check etcd.auth and the rights of that user`,
    options,
  );
}

/**
 * True if our login token is gone or outdated (etcd restarted, token expired, rights were edited). etcd says so
 * before it executes anything.
 */
export function isStaleToken(failure: RpcFailure): boolean {
  return (
    (failure.code === status.UNAUTHENTICATED && failure.details.includes('invalid auth token')) ||
    failure.details.includes('revision of auth store is old')
  );
}

/** True if another member may do better: the connection broke, or this member has no leader. */
export function isTransportFailure(failure: RpcFailure): boolean {
  return (
    failure.code === status.UNAVAILABLE ||
    failure.code === status.DEADLINE_EXCEEDED ||
    failure.code === status.INTERNAL
  );
}

/** An `error` event of a gRPC stream. */
export function failureOf(error: Error): RpcFailure {
  const { code, details } = error as Partial<RpcFailure>;
  return { code: code ?? status.UNKNOWN, details: details ?? error.message };
}
