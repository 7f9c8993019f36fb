/**
 * How an outcome is said to the engine: HTTP status, body, and the one line that `docker run` prints.
 *
 * Must not: answer 404 on a known method (the engine takes that for "not implemented" and goes on), an empty body
 * (an error to the engine), or more than one line.
 * Source: moby pkg/plugins/client.go, pkg/plugins/errors.go; libnetwork/drivers/remote/driver.go call().
 */
import type { ServerResponse } from 'node:http';
import { ZodError } from 'zod';
import { type DriverError, type ErrorCode, InvalidRequest, oneLine, toDriverError } from '../core/errors.ts';
import type { FailureReply } from './wire/activation.ts';

export const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.1+json';

/** None of them makes the engine repeat a call. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  unsupported: 400,
  not_found: 400,
  conflict: 409,
  exhausted: 409,
  bandwidth_exhausted: 409,
  kernel: 500,
  internal: 500,
  engine: 503,
  store: 503,
  deadline: 504,
};

/** Level of the line in the log: error only where an operator must act. */
export const LEVEL: Readonly<Record<ErrorCode, 'info' | 'warn' | 'error'>> = {
  invalid: 'info',
  unsupported: 'info',
  not_found: 'info',
  conflict: 'warn',
  exhausted: 'warn',
  bandwidth_exhausted: 'warn',
  kernel: 'error',
  internal: 'error',
  engine: 'error',
  store: 'error',
  deadline: 'error',
};

/** @param verb for requests that do not fit their shape: `CreateEndpoint: Interface.Address: …` */
export function errorOf(thrown: unknown, verb: string): DriverError {
  if (!(thrown instanceof ZodError)) return toDriverError(thrown);
  const faults = thrown.issues.slice(0, 3).map(({ path, message }) => {
    const field = path.map(String).join('.').slice(0, 80);
    return field === '' ? message : `${field}: ${message}`;
  });
  return new InvalidRequest(`${verb}: ${faults.join('; ')}`, { cause: thrown });
}

/** Both keys, because the network side of the engine reads one and the IPAM side the other. */
export function failureOf(error: DriverError, requestId: string): FailureReply {
  const text = `${oneLine(error.message).slice(0, 1000)} (${error.code}, req ${requestId})`;
  return { Err: text, Error: text };
}

/**
 * @param last close the connection, so that the engine dials our successor
 * @returns false if nobody is there any more to be answered
 */
export function send(response: ServerResponse, status: number, body: object, last: boolean): boolean {
  if (response.headersSent || response.destroyed) return false;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': CONTENT_TYPE,
    'Content-Length': Buffer.byteLength(text),
    ...(last ? { Connection: 'close' } : {}),
  });
  response.end(text);
  return true;
}
