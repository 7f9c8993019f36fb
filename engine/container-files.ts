/**
 * What the engine keeps of a container on its disk, read without any lock: `config.v2.json` and `hostconfig.json` below
 * `<data root>/containers/<id>/`. The engine writes them when the container is made, before its first start, and puts a new
 * file in the place of the old one at each change, so that a reader sees a whole one.
 *
 * The format is the engine's own, not an interface: read are only fields that engines from 20.10 on have, and whatever looks
 * different is an error, never a guess.
 * @see moby container/container.go (Container, toDisk()), api/types/container HostConfig
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { EngineUnavailable, oneLine } from '../core/errors.ts';
import type { FoundContainer } from './container-finder.ts';

/** A whole environment can have 2 MiB (a quarter of the stack limit); JSON may double it. */
const LARGEST_BYTES = 8 * 1024 ** 2;
/** A container id is part of a path; nothing else may become one. */
const CONTAINER_ID = /^[0-9a-f]{64}$/;

const configFile = z.object({
  ID: z.string(),
  Name: z.string(),
  Config: z.object({
    Env: z.array(z.string()).nullish(),
    Labels: z.record(z.string(), z.string()).nullish(),
  }),
});
/** A list of one may be written as text. */
const words = z.union([z.array(z.string()), z.string().transform((word) => [word])]).nullish();
const hostConfigFile = z.object({ Privileged: z.boolean().nullish(), CapAdd: words, CapDrop: words });

/**
 * @param dataRoot absolute, e.g. `/var/lib/docker`
 * @throws EngineUnavailable if a file is not there, cannot be read or has another format
 */
export async function readContainer(dataRoot: string, containerId: string): Promise<FoundContainer> {
  if (!CONTAINER_ID.test(containerId))
    throw new EngineUnavailable('the engine gave a container an unknown id');
  const folder = join(dataRoot, 'containers', containerId);
  const [config, hostConfig] = await Promise.all([
    readJson(join(folder, 'config.v2.json'), configFile),
    readJson(join(folder, 'hostconfig.json'), hostConfigFile),
  ]);
  return {
    containerId,
    name: config.Name.replace(/^\//, ''),
    env: envOf(config.Config.Env ?? []),
    labels: new Map(Object.entries(config.Config.Labels ?? {})),
    netAdmin: hasNetAdmin(hostConfig),
  };
}

/** `KEY=` is set and empty; `KEY` alone is not set at all. */
function envOf(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line): [string, string][] => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
    }),
  );
}

/** @see moby oci/caps/utils.go: `ALL` without those dropped; what is added by name stays although all are dropped */
function hasNetAdmin({ Privileged, CapAdd, CapDrop }: z.infer<typeof hostConfigFile>): boolean {
  if (Privileged === true) return true;
  const named = (list: readonly string[] | null | undefined): string[] =>
    (list ?? []).map((word) => word.toUpperCase().replace(/^CAP_/, ''));
  const added = named(CapAdd);
  return added.includes('NET_ADMIN') || (added.includes('ALL') && !named(CapDrop).includes('NET_ADMIN'));
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  let reason: string;
  try {
    const parsed = schema.safeParse(JSON.parse(await readBounded(path)));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    reason = `its format is unknown: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`;
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  throw new EngineUnavailable(oneLine(`the container file ${path} cannot be read: ${reason}`.slice(0, 500)));
}

/** Never waits for a pipe, follows no link and reads no more than is sensible. */
async function readBounded(path: string): Promise<string> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('it is no file');
    if (stat.size > LARGEST_BYTES) throw new Error(`it has ${stat.size} bytes`);
    const buffer = Buffer.alloc(stat.size);
    const { bytesRead } = await handle.read(buffer, 0, stat.size, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
