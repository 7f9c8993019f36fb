/**
 * What Lanius has written to the disk of a host, by name: nothing else is ever removed, whatever folder the settings name as
 * the state folder.
 */
import { lstatSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { z } from 'zod';
import { RECORD_KINDS } from '../store/host-records.ts';

export interface PurgeFiles {
  readonly stateDir: string;
  readonly configFile: string;
  readonly adminSocket: string;
}

/** In the state folder: records, the embedded etcd, an import that was broken off. */
const STATE_NAMES = [
  ...Object.values(RECORD_KINDS).map(({ kind }) => kind),
  ...['etcd', 'etcd.log', 'etcd.log.1', 'etcd.pid'],
];
const SPOOL = /^\.store-import\./;

/** Those that are there, absolute. */
export function filesOf({ stateDir, configFile, adminSocket }: PurgeFiles): string[] {
  const state = namesIn(stateDir)
    .filter((name) => STATE_NAMES.includes(name) || SPOOL.test(name))
    .map((name) => join(stateDir, name));
  return [...state, ...[configFile, adminSocket].filter(isThere)];
}

/**
 * Removes them, then the folders that held them if they are empty. Idempotent.
 * @returns what is left in the folders, because it is not ours
 * @throws the file system's error
 */
export function removeFiles(files: PurgeFiles): string[] {
  for (const file of filesOf(files)) rmSync(file, { recursive: true, force: true });
  const folders = [files.stateDir, dirname(files.configFile), dirname(files.adminSocket)];
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
