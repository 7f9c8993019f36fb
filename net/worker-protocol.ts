/**
 * What goes over the message port between `KernelWorker` and its thread. Structured cloning strips classes, so
 * errors travel as plain objects and are rebuilt as the class that belongs to their code.
 */
import {
  Conflict,
  DriverError,
  InternalError,
  InvalidRequest,
  KernelError,
  NotFound,
  toDriverError,
  Unsupported,
} from '../core/errors.ts';
import type { OperationName } from './operations.ts';

/** What the worker is started with. */
export interface WorkerOptions {
  /** The namespace that it enters for good before its first operation. */
  readonly namespacePath?: string;
  /** Of WaitingRequests. */
  readonly waiting: SharedArrayBuffer;
}

export type WorkerRequest =
  | { readonly id: number; readonly operation: OperationName; readonly argument: unknown }
  | { readonly id: 0; readonly operation: 'end' };

export type WorkerReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: PackedError };

export interface PackedError {
  readonly code: DriverError['code'];
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly errno?: number;
  readonly errnoName?: string;
  /** For bugs only: the stack of the worker's side. */
  readonly stack?: string;
}

export function packError(thrown: unknown): PackedError {
  const error = toDriverError(thrown);
  const packed = { code: error.code, message: error.message, details: error.details };
  if (error instanceof KernelError) return { ...packed, errno: error.errno, errnoName: error.errnoName };
  const stack = thrown instanceof Error ? thrown.stack : undefined;
  return error.code === 'internal' && stack !== undefined ? { ...packed, stack } : packed;
}

export function unpackError(packed: PackedError): DriverError {
  const { code, message, details } = packed;
  switch (code) {
    case 'kernel':
      return new KernelError(message, {
        details,
        errno: packed.errno ?? 0,
        errnoName: packed.errnoName ?? 'unknown',
      });
    case 'not_found':
      return new NotFound(message, { details });
    case 'conflict':
      return new Conflict(message, { details });
    case 'invalid':
      return new InvalidRequest(message, { details });
    case 'unsupported':
      return new Unsupported(message, { details });
    case 'internal':
      return new InternalError(message, { details: { ...details, workerStack: packed.stack } });
    case 'exhausted':
    case 'bandwidth_exhausted':
    case 'store':
    case 'deadline':
    case 'engine':
      return new DriverError(code, message, { details });
  }
}
