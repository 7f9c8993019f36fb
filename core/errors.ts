/**
 * The errors of Lanius. Every failure that a person can see is a `DriverError`: its message is ONE line that
 * names the object, the reason and the remedy, because `docker run` prints it verbatim.
 *
 * Must not: carry stack traces to users, or be parsed by text anywhere. Code branches on `code` only.
 */

/** Stable codes; also the label of metrics and of `Err` texts. */
export type ErrorCode =
  | 'invalid'
  | 'unsupported'
  | 'not_found'
  | 'conflict'
  | 'exhausted'
  | 'bandwidth_exhausted'
  | 'kernel'
  | 'store'
  | 'deadline'
  | 'engine'
  | 'internal';

export interface DriverErrorOptions {
  /** Machine-readable facts (counts, ids), never needed to understand the message. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class DriverError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: DriverErrorOptions & { readonly retryable?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/** The request itself is wrong: shape, unknown option (named), value out of range. */
export class InvalidRequest extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('invalid', message, options);
  }
}

/** A known feature that is not offered here (by this version, engine or kernel). */
export class Unsupported extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('unsupported', message, options);
  }
}

/** An id that must exist does not. Never thrown by release-type calls, which are idempotent. */
export class NotFound extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('not_found', message, options);
  }
}

/** It exists already with other parameters, or somebody else holds it. */
export class Conflict extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('conflict', message, options);
  }
}

/** No free address is left; the message gives the counts. */
export class PoolExhausted extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('exhausted', message, options);
  }
}

/** The parent has not the bandwidth that a start asks for; the message gives capacity, committed and asked. */
export class BandwidthExhausted extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('bandwidth_exhausted', message, options);
  }
}

export interface KernelErrorOptions extends DriverErrorOptions {
  /** Positive errno of the refused request, e.g. 17. */
  readonly errno: number;
  /** Its symbol, e.g. `EEXIST`. */
  readonly errnoName: string;
}

/** The kernel refused a netlink request: errno, operation, link and the kernel's own ext-ack text. */
export class KernelError extends DriverError {
  readonly errno: number;
  readonly errnoName: string;

  constructor(message: string, options: KernelErrorOptions) {
    super('kernel', message, options);
    this.errno = options.errno;
    this.errnoName = options.errnoName;
  }
}

/** etcd is unreachable, refused, or its answer was lost. Retryable. */
export class StoreUnavailable extends DriverError {
  /** True if the request may have been executed although no answer came. */
  readonly outcomeUnknown: boolean;

  constructor(message: string, options: DriverErrorOptions & { readonly outcomeUnknown?: boolean } = {}) {
    super('store', message, { ...options, retryable: true });
    this.outcomeUnknown = options.outcomeUnknown ?? false;
  }
}

/** Our own time limit passed before the work was done. Retryable. */
export class DeadlineExceeded extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('deadline', message, { ...options, retryable: true });
  }
}

/** The Engine API did not answer or refused. Never fatal on the way of a container. */
export class EngineUnavailable extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('engine', message, { ...options, retryable: true });
  }
}

/** A bug: anything that nobody foresaw. */
export class InternalError extends DriverError {
  constructor(message: string, options: DriverErrorOptions = {}) {
    super('internal', message, options);
  }
}

/** Anything thrown, as a `DriverError`; unknown things become `InternalError` with their cause kept. */
export function toDriverError(thrown: unknown): DriverError {
  if (thrown instanceof DriverError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new InternalError(oneLine(text), { cause: thrown });
}

/** Folds white space, so that a message stays one line in `docker run` and in the journal. */
export function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
