/**
 * The logger as a port: loggers are passed in, never imported. `message` is a constant sentence, values go into
 * fields with these names (docs/glossary.md), so that `journalctl -o json` can be searched by them.
 */
export interface LogFields {
  readonly component?: string;
  readonly requestId?: string;
  readonly method?: string;
  readonly networkId?: string;
  readonly endpointId?: string;
  readonly containerId?: string;
  readonly sandboxKey?: string;
  readonly poolId?: string;
  readonly pool?: string;
  readonly address?: string;
  readonly parent?: string;
  readonly vlanId?: number;
  readonly link?: string;
  readonly linkIndex?: number;
  readonly durationMs?: number;
  readonly outcome?: string;
  readonly code?: string;
  readonly errno?: number;
  readonly err?: unknown;
  readonly [field: string]: unknown;
}

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** The same logger with fields that are on every line. */
  child(fields: LogFields): Logger;
}

/** Says nothing. For tests and for programs without a log. */
export const silentLogger: Logger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  child: () => silentLogger,
};
