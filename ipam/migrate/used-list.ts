/**
 * What a host of Shrike's says of its containers: the only evidence of which of the assigned addresses are in use, because
 * Shrike itself does not write down who has them. A text, one list a host, as docs/migrate-from-shrike.md makes it:
 *
 *   host h1 10.77.0.11 172.17.0.1        its name and all of its addresses
 *   /web 10.77.16.5                      a container, with a `/` in front as docker writes it, and its addresses
 *   end
 *
 * Pure. Must not: take a list that is cut off, since what it does not name counts as unused.
 */
import { InvalidRequest } from '../../core/errors.ts';
import { formatIp, parseIp } from '../../core/ip.ts';

export interface UsedList {
  readonly host: string;
  /** Canonical texts. */
  readonly addresses: readonly string[];
  readonly containers: readonly { readonly name: string; readonly addresses: readonly string[] }[];
}

const HOST = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/;
const CONTAINER = /^\/[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/;

/** @param file for the complaint @throws InvalidRequest that names file and line */
export function parseUsedList(file: string, text: string): UsedList {
  const lines = text.split(/\r?\n/);
  while (lines.at(-1)?.trim() === '') lines.pop();
  const fault = (line: number, reason: string): InvalidRequest =>
    new InvalidRequest(
      `${printable(file)} is no list of a host's containers: line ${line} ${reason}; nothing was changed`,
    );
  if (lines.at(-1)?.trim() !== 'end')
    throw fault(Math.max(1, lines.length), 'is not "end", so it is cut off: make it again');
  const words = lines.slice(0, -1).map((line) => line.trim().split(/\s+/));
  const [first = [], ...rest] = words;
  const [word, host = '', ...own] = first;
  if (word !== 'host' || !HOST.test(host)) throw fault(1, 'does not say "host NAME ADDRESS…"');
  const addressesOf = (line: number, texts: readonly string[]): string[] =>
    texts.map((one) => {
      try {
        return formatIp(parseIp(one));
      } catch {
        throw fault(line, `has "${printable(one)}", which is not an address`);
      }
    });
  return {
    host,
    addresses: addressesOf(1, own),
    containers: rest.map(([name = '', ...addresses], index) => {
      if (!CONTAINER.test(name))
        throw fault(index + 2, 'does not begin with the name of a container (/NAME)');
      return { name: name.slice(1), addresses: addressesOf(index + 2, addresses) };
    }),
  };
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 120);
}
