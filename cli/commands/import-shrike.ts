/** `lanius import shrike`: from Shrike's tree in etcd v2 to pools and reservations. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { text } from 'node:stream/consumers';
import { InvalidRequest, oneLine } from '../../core/errors.ts';
import {
  type DecisionLine,
  IMPORT_PATHS,
  LARGEST_TREE_BYTES,
  type ShrikeDecision,
  type ShrikeRequest,
  type ShrikeResultLine,
} from '../../plugin/wire/admin-import.ts';
import { linesOf } from '../admin-stream.ts';
import { type Command, listOption, stringOption } from '../command.ts';
import { progressOf } from '../progress.ts';

export const importShrike: Command = {
  words: ['import', 'shrike'],
  summary: "Take over the pools and addresses of Shrike's etcd",
  description:
    'FILE is what etcd v2 answers for /v2/keys/talkingdata?recursive=true; - is stdin. Each network becomes a pool; an\n' +
    'address that Shrike has assigned is reserved, so that it is never given out again while its container may run. Those\n' +
    'that no container has are only known by lists of all hosts (--used-by, see docs/migrate-from-shrike.md). Nothing that\n' +
    'stands in etcd is changed. The same command again does nothing.\n' +
    'Exit status: 0 if all is imported, 1 if there are conflicts.',
  positionals: ['FILE'],
  options: {
    'used-by': {
      type: 'string',
      value: 'FILE',
      multiple: true,
      description: 'List of what the containers of one host have; repeatable',
    },
    complete: {
      type: 'boolean',
      description: 'The lists are of all hosts there are, whatever hosts Shrike names',
    },
    pool: { type: 'string', value: 'NAME', description: 'Name of the pool, by default shrike-SUBNET' },
    'dry-run': { type: 'boolean', description: 'Only say what would be done' },
  },
  run: async (input, { client, output }) => {
    const [file = ''] = input.positionals;
    const pool = stringOption(input, 'pool');
    const lists = listOption(input, 'used-by') ?? [];
    const request: ShrikeRequest = {
      tree: parsed(file, await contentOf(file)),
      usedBy: await Promise.all(
        lists.map(async (list) => ({ file: basename(list), text: await contentOf(list) })),
      ),
      complete: input.options['complete'] === true,
      ...(pool === undefined ? {} : { pool }),
      dryRun: input.options['dry-run'] === true,
    };
    const decisions: ShrikeDecision[] = [];
    const progress = progressOf('decisions');
    let result: ShrikeResultLine['result'] | undefined;
    const body = bytesOf(file, JSON.stringify(request));
    for await (const line of linesOf(client, { method: 'POST', path: IMPORT_PATHS.shrike, body })) {
      const told = JSON.parse(line) as Partial<DecisionLine & ShrikeResultLine>;
      if (told.decision !== undefined) decisions.push(told.decision);
      if (decisions.length % 100 === 0) progress.tell(`{"progress":{"keys":${decisions.length}}}`);
      if (told.result !== undefined) result = told.result;
    }
    progress.end();
    if (result === undefined) throw new Error('the daemon ended without a result: import the file again');
    output.table(
      { ...result, decisions },
      ['ACTION', 'OBJECT', 'POOL', 'NAME', 'REASON'],
      decisions.map(({ action, object, pool: of, name = '', reason }) => [action, object, of, name, reason]),
    );
    const { counts, dryRun } = result;
    const summary = Object.entries(counts).map(([action, count]) => `${count} ${action}`);
    output.note(`${summary.join(', ')}${dryRun ? '; nothing was changed (--dry-run)' : ''}`);
    return counts.conflict === 0 ? 0 : 1;
  },
};

async function contentOf(file: string): Promise<string> {
  try {
    return file === '-' ? await text(process.stdin) : await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? oneLine(error.message) : String(error);
    throw new InvalidRequest(`cannot read ${file}: ${reason}`, { cause: error });
  }
}

function parsed(file: string, content: string): unknown {
  try {
    return JSON.parse(content);
  } catch (cause) {
    throw new InvalidRequest(`${file} is not JSON, or is cut off: export it again; nothing was changed`, {
      cause,
    });
  }
}

async function* bytesOf(file: string, content: string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(content);
  if (bytes.length > LARGEST_TREE_BYTES)
    throw new InvalidRequest(`${file} is longer than ${LARGEST_TREE_BYTES >> 20} MiB: export less at once`);
  for (let from = 0; from < bytes.length; from += 65_536) yield bytes.subarray(from, from + 65_536);
}
