/**
 * What Lanius has written to the disk of a host, by name: nothing else is ever removed, whatever folder the settings name as
 * the state folder.
 */
import { lstatSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { z } from 'zod';
import { RECORD_KINDS } from '../store/host-records.ts';
import { isAnswered } from './listen.ts';

export interface PurgeFiles {
  readonly stateDir: string;
  readonly configFile: string;
  readonly adminSocket: string;
  /** Where lanius-mesos.service writes. */
  readonly mesosDir: string;
  /** A socket that nobody listens on; others' files lie beside it. */
  readonly deadSocket?: string;
}

/** In the state folder: records, the embedded etcd, an import that was broken off. */
const STATE_NAMES = [
  ...Object.values(RECORD_KINDS).map(({ kind }) => kind),
  ...['etcd', 'etcd.log', 'etcd.log.1', 'etcd.pid'],
];
const SPOOL = /^\.store-import\./;
/** As the unit names them, and what a command that was killed was about to put in their place. */
const MESOS = /^(resources|attributes|free|state)(\.[0-9a-f-]{36})?$/;

/** Those that are there, absolute. */
export function filesOf(files: PurgeFiles): string[] {
  const { stateDir, configFile, adminSocket, mesosDir, deadSocket } = files;
  const state = namesIn(stateDir)
    .filter((name) => STATE_NAMES.includes(name) || SPOOL.test(name))
    .map((name) => join(stateDir, name));
  const mesos = namesIn(mesosDir)
    .filter((name) => MESOS.test(name))
    .map((name) => join(mesosDir, name));
  const single = [configFile, adminSocket, ...(deadSocket === undefined ? [] : [deadSocket])];
  return [...state, ...mesos, ...single.filter(isThere)];
}

/** Whether it is a socket on which nobody listens, as a daemon that was killed leaves it. */
export async function isDeadSocket(path: string): Promise<boolean> {
  return (lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false) && !(await isAnswered(path));
}

/**
 * Removes them, then the folders that held them if they are empty. Idempotent.
 * @param spared those that stay
 * @returns what is left in the folders: those, and what is not ours
 * @throws the file system's error
 */
export function removeFiles(files: PurgeFiles, spared: readonly string[] = []): string[] {
  for (const file of filesOf(files).filter((one) => !spared.includes(one)))
    rmSync(file, { recursive: true, force: true });
  const folders = [files.stateDir, files.mesosDir, dirname(files.configFile), dirname(files.adminSocket)];
  return [...new Set(folders)].flatMap((folder) => {
    const names = namesIn(folder);
    if (names.length > 0) return names.map((name) => join(folder, name));
    if (isThere(folder)) removeFolder(folder);
    return [];
  });
}

/** One that something is mounted on stays, empty. */
function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
  }
}

/** The records of a folder, read without changing anything; what cannot be read is passed over. */
export function recordsIn<T>(folder: string, schema: z.ZodType<T>): T[] {
  return namesIn(folder).flatMap((name) => {
    if (!name.endsWith('.json')) return [];
    try {
      const read = schema.safeParse(JSON.parse(readFileSync(join(folder, name), 'utf8')));
      return read.success ? [read.data] : [];
    } catch {
      return [];
    }
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
