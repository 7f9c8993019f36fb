/**
 * The host's own records on local disk: one JSON file per record in <stateDir>/<kind>/, all of them in memory
 * after `load()`. For what the engine never tells a second time (store/host-records.ts).
 *
 * INVARIANTS
 * - A resolved `put` survives a kill of this process: written, then renamed over the old file. Where the kind asks
 *   for it, it survives a power cut too: data synced before, folder synced after. What a crash leaves is a `.tmp`
 *   that was never acknowledged.
 * - Writes of one id happen in the order of the calls; those of several ids at the same time.
 * - `get` and `list` show a change from the call on, so that read-then-write in one turn loses nothing; if the
 *   write fails they show what is on disk again.
 * - Nothing is dropped silently: a file that cannot be decoded is moved aside to `<file>.damaged` and reported.
 *
 * @see open(2), rename(2), fsync(2) ("does not necessarily ensure that the entry in the directory … has reached disk")
 */
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { type DriverError, InternalError, KernelError, oneLine } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';

const SUFFIX = '.json';
/** NAME_MAX less the longest ending we add. */
const LONGEST_NAME_BYTES = 255 - '.json.damaged'.length;

export interface RecordStoreOptions<T> {
  /** Absolute folder of all state. */
  readonly stateDir: string;
  /** Name of the sub-folder, e.g. `endpoints`. */
  readonly kind: string;
  readonly schema: z.ZodType<T>;
  /**
   * What an acknowledged change must survive. A power cut costs two syncs of the disk; a kill none. After a power
   * cut a record of the second sort may be missing, old, or damaged (then it is moved aside).
   */
  readonly survives: 'power cut' | 'kill';
}

/** One id: what disk has, and what was asked last. */
interface Entry<T> {
  durable: T | undefined;
  /** Writes that were asked and have not ended. */
  pending: number;
  last: Promise<unknown>;
}

export class RecordStore<T> {
  readonly #folder: string;
  readonly #kind: string;
  readonly #schema: z.ZodType<T>;
  readonly #logger: Logger;
  readonly #sync: boolean;
  readonly #records = new Map<string, T>();
  readonly #entries = new Map<string, Entry<T>>();
  #loaded = false;

  constructor(options: RecordStoreOptions<T>, dependencies: { readonly logger: Logger }) {
    this.#folder = join(options.stateDir, options.kind);
    this.#kind = options.kind;
    this.#schema = options.schema;
    this.#sync = options.survives === 'power cut';
    this.#logger = dependencies.logger;
  }

  /**
   * Reads all records; call once, before anything else. Makes the folder (0700) if it is missing.
   * @returns the files that were damaged and are now named `<file>.damaged`
   * @throws KernelError if the folder cannot be made or read
   */
  async load(): Promise<{ readonly damaged: readonly string[] }> {
    let names: string[];
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      names = await readdir(this.#folder);
    } catch (cause) {
      throw diskError(`the records in ${this.#folder} cannot be read`, cause);
    }
    const damaged: string[] = [];
    for (const name of names) {
      const path = join(this.#folder, name);
      if (name.endsWith('.tmp')) await this.#discard(path);
      else if (name.endsWith(SUFFIX)) {
        const reason = await this.#read(path, name.slice(0, -SUFFIX.length));
        if (reason === undefined) continue;
        damaged.push(path);
        await this.#moveAside(path, reason);
      }
    }
    this.#loaded = true;
    return { damaged };
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  /** All records, in no order that means anything. */
  list(): readonly T[] {
    return [...this.#records.values()];
  }

  /**
   * Writes or replaces a record; once resolved it survives what its kind must survive. Idempotent.
   * @throws InternalError if the record does not fit its schema or the id cannot be a file name
   * @throws KernelError if the disk refuses (ENOSPC, EROFS, EIO …); the old record stands
   */
  async put(id: string, record: T): Promise<void> {
    const file = this.#fileOf(id);
    const checked = this.#schema.safeParse(record);
    if (!checked.success) {
      throw new InternalError(`record ${this.#kind}/${id} is not valid: ${oneLine(checked.error.message)}`);
    }
    const text = `${JSON.stringify(record)}\n`;
    await this.#change(id, record, async () => {
      await this.#replace(file, text);
      return true;
    });
  }

  /** Removes a record, as lasting as `put`. Idempotent. @returns whether it was there @throws KernelError */
  async delete(id: string): Promise<boolean> {
    const file = this.#fileOf(id);
    return await this.#change(id, undefined, async (before) => {
      if (before === undefined) return false;
      await unlink(file).catch(ignoreMissing);
      if (this.#sync) await syncFolder(this.#folder);
      return true;
    });
  }

  /** Runs `work` after all earlier changes of this id; the change shows at once, and no longer if it fails. */
  async #change(
    id: string,
    to: T | undefined,
    work: (before: T | undefined) => Promise<boolean>,
  ): Promise<boolean> {
    if (!this.#loaded) throw new InternalError(`the records of ${this.#kind} are not loaded yet`);
    const entry = this.#entries.get(id) ?? {
      durable: this.#records.get(id),
      pending: 0,
      last: Promise.resolve(),
    };
    this.#entries.set(id, entry);
    entry.pending += 1;
    this.#show(id, to);
    const earlier = entry.last;
    const mine = (async () => {
      await earlier.catch(() => {});
      try {
        const did = await work(entry.durable);
        entry.durable = to;
        return did;
      } catch (cause) {
        if (entry.pending === 1) this.#show(id, entry.durable);
        throw diskError(`record ${this.#kind}/${id} cannot be changed in ${this.#folder}`, cause);
      } finally {
        entry.pending -= 1;
        if (entry.pending === 0) this.#entries.delete(id);
      }
    })();
    entry.last = mine;
    return await mine;
  }

  #show(id: string, record: T | undefined): void {
    if (record === undefined) this.#records.delete(id);
    else this.#records.set(id, record);
  }

  async #replace(file: string, text: string): Promise<void> {
    const temporary = `${file}.tmp`;
    try {
      const handle = await open(temporary, 'w', 0o600);
      try {
        await handle.writeFile(text);
        if (this.#sync) await handle.datasync();
      } finally {
        await handle.close();
      }
      await rename(temporary, file);
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw error;
    }
    if (this.#sync) await syncFolder(this.#folder);
  }

  /** @returns why it is damaged, or undefined */
  async #read(path: string, encodedId: string): Promise<string | undefined> {
    try {
      const id = decodeURIComponent(encodedId);
      if (encodeURIComponent(id) !== encodedId) return 'its name is not one of ours';
      const decoded = this.#schema.safeParse(JSON.parse(await readFile(path, 'utf8')));
      if (!decoded.success) return oneLine(decoded.error.message);
      this.#records.set(id, decoded.data);
      return undefined;
    } catch (error) {
      return oneLine(error instanceof Error ? error.message : String(error));
    }
  }

  async #moveAside(path: string, reason: string): Promise<void> {
    const aside = `${path}.damaged`;
    this.#logger.error('a damaged record was moved aside', { kind: this.#kind, file: aside, reason });
    try {
      await rename(path, aside);
      await syncFolder(this.#folder);
    } catch (err) {
      this.#logger.error('a damaged record could not be moved aside', { kind: this.#kind, file: path, err });
    }
  }

  async #discard(path: string): Promise<void> {
    this.#logger.debug('a write that a crash interrupted was discarded', { kind: this.#kind, file: path });
    await unlink(path).catch(() => {});
  }

  #fileOf(id: string): string {
    const name = encodeURIComponent(id);
    if (name === '' || name.length > LONGEST_NAME_BYTES) {
      throw new InternalError(`"${id.slice(0, 80)}" cannot be the id of a record`);
    }
    return join(this.#folder, `${name}${SUFFIX}`);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

function diskError(what: string, cause: unknown): DriverError {
  const errnoName = (cause as NodeJS.ErrnoException).code ?? 'EIO';
  const errno = (constants.errno as Record<string, number | undefined>)[errnoName] ?? constants.errno.EIO;
  const remedy =
    errnoName === 'ENOSPC' || errnoName === 'EDQUOT'
      ? 'free space on that file system'
      : 'check that file system and its rights';
  const text = cause instanceof Error ? cause.message : String(cause);
  return new KernelError(oneLine(`${what} (${text}): ${remedy}`), { errno, errnoName, cause });
}
