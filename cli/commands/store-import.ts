/** `lanius store import`: what an export has and etcd has not is written; what stands there stays. */
import { createReadStream } from 'node:fs';
import { InvalidRequest, oneLine } from '../../core/errors.ts';
import { type ImportLine, type ImportResult, STORE_PATHS } from '../../plugin/wire/admin-store.ts';
import { linesOf } from '../admin-stream.ts';
import type { Command } from '../command.ts';
import { progressOf } from '../progress.ts';

export const storeImport: Command = {
  words: ['store', 'import'],
  summary: 'Write to etcd what an export has and etcd has not',
  description:
    'FILE is what lanius store export wrote; - is stdin. A file that is not whole changes nothing. Nothing that\n' +
    'stands in etcd is overwritten: what differs is listed. May be repeated, and goes on after an interruption.\n' +
    'Exit status: 0 if all of it stands in etcd now, 1 if something differs.',
  positionals: ['FILE'],
  options: {},
  run: async (input, { client, output }) => {
    const [file = ''] = input.positionals;
    const body = file === '-' ? process.stdin : bytesOf(file);
    const progress = progressOf('keys written');
    let result: ImportResult | undefined;
    for await (const line of linesOf(client, { method: 'POST', path: STORE_PATHS.import, body })) {
      const told = JSON.parse(line) as Partial<ImportLine>;
      if (told.result === undefined) progress.tell(line);
      else result = told.result;
    }
    progress.end();
    if (result === undefined) throw new Error('the daemon ended without a result: import the file again');
    output.value(result, () => describe(result));
    return result.conflictCount === 0 ? 0 : 1;
  },
};

async function* bytesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file) as AsyncIterable<Uint8Array>;
  } catch (error) {
    const reason = error instanceof Error ? oneLine(error.message) : String(error);
    throw new InvalidRequest(`cannot read ${file}: ${reason}`, { cause: error });
  }
}

function describe({ written, skipped, completed, conflicts, conflictCount }: ImportResult): string {
  const more = conflictCount > conflicts.length ? `… and ${conflictCount - conflicts.length} more\n` : '';
  const counts = `${written} written, ${skipped} stood there already, ${completed} pools completed, ${conflictCount} conflicts`;
  return `${conflicts.map((line) => `${line}\n`).join('')}${more}${counts}\n`;
}
