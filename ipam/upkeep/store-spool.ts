/**
 * An export on its way in: kept on disk until all of it has come and is known to be whole, so that a truncated or
 * damaged file changes nothing. The file has no name any more once it is open, so no crash leaves it behind.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { InvalidRequest } from '../../core/errors.ts';
import { leaseSchema } from '../../store/schema.ts';
import {
  EXPORTED,
  headerSchema,
  parseEntry,
  parseLine,
  STORE_FORMAT,
  type StoreEntry,
  type StoreHeader,
  trailerSchema,
} from './store-format.ts';
import { isNamed } from './store-view.ts';

/** How every export begins. */
const START = `{"format":"${STORE_FORMAT}"`;
const NO_HEADER = 'its first line is not the header of an export';
const LONGEST_LINE = 1_048_576;
const LINE_FEED = 10;

export class StoreSpool {
  readonly #file: FileHandle;
  #count = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * Takes all of `source` in and proves that it is whole.
   * @param folder where there is room for it
   * @throws InvalidRequest that says what is wrong and in which line
   */
  static async take(source: AsyncIterable<Uint8Array>, folder: string): Promise<StoreSpool> {
    const path = join(folder, `.store-import.${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    const spool = new StoreSpool(file);
    try {
      const shape = new Shape();
      for await (const chunk of source) {
        shape.look(chunk);
        await file.writeFile(chunk);
      }
      await spool.#verify();
      return spool;
    } catch (error) {
      await spool.close();
      throw error;
    }
  }

  /** Number of entries. */
  get count(): number {
    return this.#count;
  }

  async *entries(): AsyncGenerator<StoreEntry> {
    let number = 0;
    for await (const line of this.#lines()) {
      number += 1;
      if (number > 1 && number <= this.#count + 1) yield parseEntry(line);
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async *#lines(): AsyncGenerator<string> {
    const input = createReadStream('', { fd: this.#file, start: 0, autoClose: false, encoding: 'utf8' });
    yield* createInterface({ input, crlfDelay: Infinity });
  }

  async #verify(): Promise<void> {
    const hash = createHash('sha256');
    const order = new Order();
    let number = 0;
    /** The line before: only the next one shows whether it is the last. */
    let line: string | undefined;
    for await (const next of this.#lines()) {
      if (number === 1) checkHeader(line ?? '');
      if (number > 1) at(number, () => order.add(parseEntry(line ?? '')));
      if (line !== undefined) hash.update(`${line}\n`);
      line = next;
      number += 1;
    }
    if (number <= 1) checkHeader(line ?? '');
    const trailer = trailerSchema.safeParse(parseLine(line ?? ''));
    if (!trailer.success) throw damaged('its last line is missing, so it is cut off: export again');
    this.#count = number - 2;
    if (trailer.data.count !== this.#count || trailer.data.sha256 !== hash.digest('hex'))
      throw damaged('its checksum does not fit: it was changed or damaged');
  }
}

/**
 * What cannot be an export is refused as it comes: it could fill the disk, and a line that never ends no program can
 * hold.
 */
class Shape {
  #line = 1;
  #bytes = 0;
  #start = Buffer.alloc(0);

  /** @throws InvalidRequest */
  look(chunk: Uint8Array): void {
    if (this.#start.length < START.length) {
      this.#start = Buffer.concat([this.#start, chunk.subarray(0, START.length - this.#start.length)]);
      if (!START.startsWith(this.#start.toString('latin1'))) throw damaged(NO_HEADER);
    }
    for (let from = 0; from < chunk.length; ) {
      const end = chunk.indexOf(LINE_FEED, from);
      this.#bytes += (end < 0 ? chunk.length : end) - from;
      if (this.#bytes > LONGEST_LINE) throw damaged(`line ${this.#line} is longer than 1 MiB`);
      if (end < 0) return;
      this.#line += 1;
      this.#bytes = 0;
      from = end + 1;
    }
  }
}

/** Keys are in order, so none comes twice; and no name has two leases. */
class Order {
  #kind = 0;
  #last = '';
  readonly #names = new Set<string>();

  /** @throws InvalidRequest */
  add({ path, key, text }: StoreEntry): void {
    const kind = EXPORTED.indexOf(key.kind);
    if (kind < this.#kind || (kind === this.#kind && path <= this.#last))
      throw new InvalidRequest(`key ${path} comes twice or out of order`);
    this.#kind = kind;
    this.#last = path;
    if (key.kind !== 'lease') return;
    const value = leaseSchema.parse(parseLine(text));
    if (!isNamed(value)) return;
    if (value.name === undefined) throw new InvalidRequest(`${path} is reserved for a name, but says none`);
    const id = `${key.pool}/${value.name}`;
    if (this.#names.has(id))
      throw new InvalidRequest(`${path}: name "${value.name}" has another address already`);
    this.#names.add(id);
  }
}

function checkHeader(line: string): StoreHeader {
  const value = parseLine(line);
  const header = headerSchema.safeParse(value);
  if (header.success) return header.data;
  if (typeof value === 'object' && value !== null && 'format' in value && value.format === 'lanius-store')
    throw damaged('its version is not 1: import it with the Lanius that wrote it, or a newer one');
  throw damaged(NO_HEADER);
}

/** @throws InvalidRequest that names the line, counted from 1 */
function at(number: number, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof InvalidRequest) throw damaged(`line ${number}: ${error.message}`);
    throw error;
  }
}

function damaged(reason: string): InvalidRequest {
  return new InvalidRequest(`the file is no whole export of the store: ${reason}; nothing was changed`);
}
