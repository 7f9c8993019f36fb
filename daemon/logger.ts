/**
 * The log: one JSON line per event on stdout, `time` `level` `msg` first, then the fields of core/log.ts. Under
 * systemd an event goes to the journal with its fields (daemon/journal.ts); what the journal does not take is such a
 * line, which then begins with its priority (`<3>`), so that `journalctl -p err` finds it.
 *
 * Must not: end or stall the daemon, whatever a field holds and wherever stdout went.
 * @see sd-daemon(3) for the priorities
 */
import { fstatSync } from 'node:fs';
import { isNativeError } from 'node:util/types';
import { createLogger as createWinston, format, transports, type Logger as Winston } from 'winston';
import type { LogFields, Logger } from '../core/log.ts';
import { serializeError } from '../core/serialize-error.ts';
import type { Journal } from './journal.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface LoggerOptions {
  /** Least level that is written. */
  readonly level: LogLevel;
  /** Each line begins with `<n>`: see {@link goesToJournal}. */
  readonly priorities: boolean;
  /** Is asked first; lines are for what it does not take. */
  readonly journal?: Pick<Journal, 'send'>;
}

/** syslog(3) */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

/**
 * Whether what is written there is read by systemd's journal. The variable alone does not say so: it is inherited
 * by what a service redirects elsewhere.
 * @see systemd.exec(5), JOURNAL_STREAM
 */
export function goesToJournal(env: NodeJS.ProcessEnv, fd: number): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

export class JsonLogger implements Logger {
  readonly #winston: Winston;
  readonly #journal: Pick<Journal, 'send'> | undefined;
  readonly #fields: LogFields;

  private constructor(winston: Winston, journal: Pick<Journal, 'send'> | undefined, fields: LogFields) {
    this.#winston = winston;
    this.#journal = journal;
    this.#fields = fields;
  }

  /** @param stream usually process.stdout; errors of it are ignored, since nobody could be told */
  static to(stream: NodeJS.WritableStream, options: LoggerOptions): JsonLogger {
    stream.on('error', () => {});
    const line = format((info) => {
      const level = info.level as LogLevel;
      const prefix = options.priorities ? `<${PRIORITIES[level]}>` : '';
      const event = { time: new Date().toISOString(), level, msg: info.message };
      info[Symbol.for('message')] = prefix + toJson(event, info['fields'] as LogFields);
      return info;
    });
    const winston = createWinston({
      levels: { error: 0, warn: 1, info: 2, debug: 3 },
      level: options.level,
      format: line(),
      transports: [new transports.Stream({ stream })],
    });
    return new JsonLogger(winston, options.journal, {});
  }

  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }

  child(fields: LogFields): Logger {
    return new JsonLogger(this.#winston, this.#journal, { ...this.#fields, ...fields });
  }

  /** Least level that is written from now on, by this logger and all its children. */
  setLevel(level: LogLevel): void {
    this.#winston.level = level;
  }

  /** Resolves when every line so far is handed to the stream. */
  async close(): Promise<void> {
    const finished = new Promise((resolve) => this.#winston.once('finish', resolve));
    this.#winston.end();
    await finished;
  }

  #log(level: LogLevel, message: string, fields: LogFields | undefined): void {
    const all = { ...this.#fields, ...fields };
    if (this.#journal !== undefined) {
      if (!this.#winston.isLevelEnabled(level)) return;
      if (this.#journal.send({ priority: PRIORITIES[level], message, fields: plainFields(all) })) return;
    }
    // Under one key: winston gives names like `message`, `level` and `splat` a meaning of its own.
    this.#winston.log({ level, message, fields: all });
  }
}

/** What JSON can say of them, whatever they hold. */
function plainFields(fields: LogFields): LogFields {
  try {
    return JSON.parse(JSON.stringify(fields, plain)) as LogFields;
  } catch (error) {
    return { err: serializeError(error) };
  }
}

function toJson(event: Readonly<Record<string, unknown>>, fields: LogFields): string {
  try {
    return JSON.stringify({ ...event, ...withoutClash(fields) }, plain);
  } catch (error) {
    return JSON.stringify({ ...event, err: serializeError(error) });
  }
}

/** A field may not take the place of time, level or msg. */
function withoutClash({ time, level, msg, ...others }: LogFields): Record<string, unknown> {
  return {
    ...others,
    ...(time === undefined ? {} : { time_: time }),
    ...(level === undefined ? {} : { level_: level }),
    ...(msg === undefined ? {} : { msg_: msg }),
  };
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Error || isNativeError(value)) return serializeError(value);
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Map || value instanceof Set) return [...value];
  return value;
}
