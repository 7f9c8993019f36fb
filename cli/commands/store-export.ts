/** `lanius store export`: a backup of the store, or the way to another etcd. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename, unlink } from 'node:fs/promises';
import { InvalidRequest, oneLine } from '../../core/errors.ts';
import { STORE_PATHS } from '../../plugin/wire/admin-store.ts';
import type { AdminClient } from '../admin-client.ts';
import { linesOf } from '../admin-stream.ts';
import type { Command } from '../command.ts';

interface Trailer {
  readonly count: number;
  readonly left?: number;
}

export const storeExport: Command = {
  words: ['store', 'export'],
  summary: 'Write what stands in etcd to a file, as a backup or to move it',
  description:
    'JSON lines, as the store is at one moment; to stdout without FILE. The file appears when it is whole.\n' +
    'docs/store.md tells how to restore it and how to move to another etcd.',
  positionals: ['[FILE]'],
  options: {},
  run: async (input, { client, output }) => {
    const [file = '-'] = input.positionals;
    const trailer = file === '-' ? await write(client, process.stdout) : await writeFile(client, file);
    if (trailer.left !== undefined)
      output.complain(`${trailer.left} keys are damaged and were left out: see lanius store check`);
    if (file !== '-') output.value({ file, ...trailer }, () => `${trailer.count} keys written to ${file}`);
    return trailer.left === undefined ? 0 : 1;
  },
};

async function writeFile(client: AdminClient, file: string): Promise<Trailer> {
  const temporary = `${file}.part`;
  const stream = createWriteStream(temporary, { mode: 0o600, flush: true });
  try {
    await once(stream, 'open');
    const trailer = await write(client, stream);
    stream.end();
    await once(stream, 'close');
    await rename(temporary, file);
    return trailer;
  } catch (error) {
    stream.destroy();
    await unlink(temporary).catch(() => {});
    if (error instanceof Error && 'syscall' in error)
      throw new InvalidRequest(`cannot write ${file}: ${oneLine(error.message)}`, { cause: error });
    throw error;
  }
}

/** @throws Error if the last line is no trailer: the export is not whole */
async function write(client: AdminClient, stream: NodeJS.WritableStream): Promise<Trailer> {
  let last = '';
  for await (const line of linesOf(client, { method: 'GET', path: STORE_PATHS.export })) {
    last = line;
    if (!stream.write(`${line}\n`)) await once(stream, 'drain');
  }
  const trailer = JSON.parse(last === '' ? '{}' : last) as Partial<Trailer>;
  if (trailer.count === undefined) throw new Error('the export is not whole: run it again');
  return { count: trailer.count, ...(trailer.left === undefined ? {} : { left: trailer.left }) };
}
