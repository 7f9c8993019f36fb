/**
 * Anything thrown, as plain data for a log line or a reply: JSON.stringify of an Error is `{}`.
 *
 * Must not: throw itself, whatever it is given (a getter that throws, a cause that points back at itself).
 */
export interface SerializedError {
  readonly name: string;
  readonly message: string;
  /** Ours (`kernel`), or Node's (`ECONNREFUSED`). */
  readonly code?: string | number;
  readonly errno?: number;
  readonly errnoName?: string;
  readonly retryable?: boolean;
  readonly outcomeUnknown?: boolean;
  readonly details?: unknown;
  readonly stack?: string;
  readonly cause?: SerializedError;
}

/** Deeper chains of causes are cut here. */
const MAX_CAUSES = 5;

/** @returns name, message, code, stack and up to five causes; a thrown non-error becomes its text */
export function serializeError(thrown: unknown): SerializedError {
  return serialize(thrown, MAX_CAUSES);
}

function serialize(thrown: unknown, causesLeft: number): SerializedError {
  if (!(thrown instanceof Error)) return { name: typeof thrown, message: textOf(thrown) };
  const { code, errno, errnoName, retryable, outcomeUnknown, details } = thrown as Error &
    Record<string, unknown>;
  return {
    name: thrown.name,
    message: thrown.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof errno === 'number' ? { errno } : {}),
    ...(typeof errnoName === 'string' ? { errnoName } : {}),
    ...(retryable === true ? { retryable } : {}),
    ...(outcomeUnknown === true ? { outcomeUnknown } : {}),
    ...(hasKeys(details) ? { details } : {}),
    ...(thrown.stack === undefined ? {} : { stack: thrown.stack }),
    ...(thrown.cause === undefined || causesLeft === 0
      ? {}
      : { cause: serialize(thrown.cause, causesLeft - 1) }),
  };
}

function hasKeys(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function textOf(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown;
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return Object.prototype.toString.call(thrown);
  }
}
