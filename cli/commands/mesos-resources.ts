/** `lanius mesos resources`: what this host has left, as a Mesos agent reads it. */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { parseSeconds } from '../../core/duration.ts';
import { DriverError, InvalidRequest, NotFound, oneLine } from '../../core/errors.ts';
import { FIGURES_PATH, type HostFiguresReply } from '../../plugin/wire/admin-mesos.ts';
import { type Command, type CommandInput, listOption, stringOption } from '../command.ts';
import {
  attributesOf,
  formatAttributes,
  formatResources,
  type MesosWords,
  resourcesOf,
} from '../mesos-grammar.ts';

/** Codes of answers that another try may change: the daemon has not read etcd yet, or etcd is away. */
const PASSING = ['store', 'deadline'];
const RETRY_MS = 500;

export const mesosResources: Command = {
  words: ['mesos', 'resources'],
  summary: 'Print what this host has left, in the grammar of a Mesos agent',
  description:
    'For mesos-agent --resources=, or with --attributes for --attributes=: IPv4 addresses that this host can give out, and\n' +
    'bandwidth in Mbit/s where the capacity of a link is known, with --total where it is declared (throttle.capacity). An agent\n' +
    'reads them at its start only and refuses to start with others than before, so give it what --total prints.\n' +
    'docs/marathon.md tells what each is for.',
  positionals: [],
  options: {
    attributes: { type: 'boolean', description: 'Attributes instead: lanius_POOL:free or full' },
    total: {
      type: 'boolean',
      description: 'The most that the host may ever have, instead of what it has left',
    },
    pool: {
      type: 'string',
      value: 'POOL',
      multiple: true,
      description: 'Only of this pool, also of an IPv6 one; repeatable',
    },
    parent: { type: 'string', value: 'LINK', multiple: true, description: 'Only of this link; repeatable' },
    role: { type: 'string', value: 'ROLE', description: 'Role of the resources (default *)' },
    ips: { type: 'string', value: 'NAME', description: 'Name of the addresses (default ips)' },
    'net-in': { type: 'string', value: 'NAME', description: 'Name of the bandwidth in (default net_in)' },
    'net-out': { type: 'string', value: 'NAME', description: 'Name of the bandwidth out (default net_out)' },
    wait: {
      type: 'string',
      value: 'TIME',
      description: 'As long as the daemon or etcd does not answer, try again for this time: 45s',
    },
    file: { type: 'string', value: 'PATH', description: 'Write it there, all at once, if it has changed' },
  },
  run: async (input, { client, output }) => {
    const ask = () => client.get<HostFiguresReply>(FIGURES_PATH);
    const figures = narrowed(await patiently(ask, parseSeconds(stringOption(input, 'wait') ?? '0s')), input);
    const total = input.options['total'] === true;
    const attributes = attributesOf(figures, total);
    const resources = resourcesOf(figures, wordsOf(input, total));
    const asked = input.options['attributes'] === true ? attributes : resources;
    const text = asked === attributes ? formatAttributes(attributes) : formatResources(resources);
    const path = stringOption(input, 'file');
    if (path === undefined) {
      output.value(asked, () => text);
      return 0;
    }
    // Without a line feed: the agent would read it as a part of the value.
    await writeWhole(path, output.format === 'json' ? JSON.stringify(asked) : text);
    return 0;
  },
};

function wordsOf(input: CommandInput, total: boolean): MesosWords {
  return {
    ips: stringOption(input, 'ips') ?? 'ips',
    netIn: stringOption(input, 'net-in') ?? 'net_in',
    netOut: stringOption(input, 'net-out') ?? 'net_out',
    role: stringOption(input, 'role') ?? '*',
    total,
    named: listOption(input, 'pool') !== undefined,
  };
}

/** Asks until there is an answer, or a refusal that stays one. @throws what the last try threw */
async function patiently<T>(ask: () => Promise<T>, seconds: number): Promise<T> {
  const deadline = deadlineAfter(seconds * 1000, systemClock);
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const passes = error instanceof DriverError && (error.retryable || PASSING.includes(error.code));
      if (!passes || deadline.leftMs() === 0) throw error;
      await sleep(Math.min(RETRY_MS, deadline.leftMs()));
    }
  }
}

/** @throws NotFound for a pool or link that is asked for and is not there, or if there is nothing at all to tell */
function narrowed({ addresses, bandwidth = [] }: HostFiguresReply, input: CommandInput): HostFiguresReply {
  const pools = listOption(input, 'pool');
  const parents = listOption(input, 'parent');
  const missing = pools?.find((text) => !addresses.some(({ pool, name }) => pool === text || name === text));
  if (missing !== undefined)
    throw new NotFound(`no network of this host is on pool "${missing}": see lanius pool ls`);
  const absent = parents?.find((text) => !bandwidth.some(({ parent }) => parent === text));
  if (absent !== undefined)
    throw new NotFound(
      `link "${absent}" has no network of this host, or no known capacity: declare it in throttle.capacity`,
    );
  if (addresses.length === 0)
    throw new NotFound('this host has no Lanius network yet, so it has no addresses: make one first');
  return {
    addresses: addresses.filter(
      ({ pool, name }) => pools === undefined || pools.some((text) => text === pool || text === name),
    ),
    bandwidth: bandwidth.filter(({ parent }) => parents?.includes(parent) ?? true),
  };
}

/** Whoever reads it reads the old one or the new one. @throws InvalidRequest */
async function writeWhole(path: string, text: string): Promise<void> {
  const standing = await readFile(path, 'utf8').catch(() => undefined);
  if (standing === text) return;
  const temporary = `${path}.${randomUUID()}`;
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    const reason = error instanceof Error ? oneLine(error.message) : String(error);
    throw new InvalidRequest(`cannot write ${path}: ${reason}`, { cause: error });
  }
}
