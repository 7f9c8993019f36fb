/**
 * The journal's own protocol: one datagram an event, with fields that `journalctl` can be asked for
 * (`journalctl -u lanius LANIUS_METHOD=NetworkDriver.Join`), instead of a line whose contents it does not know.
 *
 * Must not: wait, or lose an event in silence. What the journal does not take (too long, its queue full, away) is the
 * caller's to write elsewhere.
 * @see systemd "Native Journal Protocol", systemd.journal-fields(7)
 */
import type { LogFields } from '../core/log.ts';
import { sendUnixDatagram } from './unix-datagram.ts';

export const JOURNAL_SOCKET = '/run/systemd/journal/socket';
/** Longer values of a field are cut in the message, for people; the field has them whole. */
const SHOWN_CHARACTERS = 300;

export interface JournalEvent {
  /** syslog(3) */
  readonly priority: number;
  /** A constant sentence. */
  readonly message: string;
  /** Plain values: what JSON can say. */
  readonly fields: LogFields;
}

export class Journal {
  readonly #socket: string;

  constructor(socket: string = JOURNAL_SOCKET) {
    this.#socket = socket;
  }

  /** @returns false if the journal has not taken it. Never throws. */
  send(event: JournalEvent): boolean {
    try {
      sendUnixDatagram(this.#socket, journalDatagram(event));
      return true;
    } catch {
      return false;
    }
  }
}

/** `NAME=value\n`, or for values with line feeds `NAME\n`, length (64 bits, little-endian), value, `\n`. */
export function journalDatagram({ priority, message, fields }: JournalEvent): Buffer {
  const entries: (readonly [string, string])[] = [
    ['MESSAGE', readable(message, fields)],
    ['PRIORITY', String(priority)],
    ['SYSLOG_IDENTIFIER', 'lanius'],
    ['LANIUS_MSG', message],
  ];
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) entries.push([fieldName(name), textOf(value)]);
  }
  return Buffer.concat(entries.map(([name, value]) => encoded(name, value)));
}

/** `networkId` → `LANIUS_NETWORK_ID`; at most 64 of A–Z, 0–9 and `_`, as the journal demands. */
export function fieldName(name: string): string {
  const words = name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
  return `LANIUS_${words.replaceAll(/[^A-Z0-9_]/g, '_')}`.slice(0, 64);
}

/** The sentence and the fields, on one line for people: `plugin call method=NetworkDriver.Join durationMs=3`. */
function readable(message: string, fields: LogFields): string {
  const shown = Object.entries(fields).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const text = name === 'err' ? reasonOf(value) : textOf(value);
    const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
    return [`${name}=${/^[^\s"=]+$/.test(cut) ? cut : JSON.stringify(cut)}`];
  });
  return [message, ...shown].join(' ');
}

/** Of an error, its message; stack and causes are in the field. */
function reasonOf(error: unknown): string {
  const { message } = (error ?? {}) as { readonly message?: unknown };
  return typeof message === 'string' ? message : textOf(error);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function encoded(name: string, value: string): Buffer {
  if (!value.includes('\n')) return Buffer.from(`${name}=${value}\n`, 'utf8');
  const bytes = Buffer.from(value, 'utf8');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`, 'utf8'), length, bytes, Buffer.from('\n')]);
}
