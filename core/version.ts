/**
 * The version of this package, wherever it was compiled to: the nearest package.json above this file that names
 * it. Read once, at the first question.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { InternalError } from './errors.ts';

const manifestSchema = z.object({ name: z.literal('lanius'), version: z.string() });

let found: string | undefined;

/** @returns e.g. `0.1.0`. @throws InternalError if the installation lost its package.json */
export function packageVersion(): string {
  found ??= find();
  return found;
}

function find(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const manifest = manifestSchema.safeParse(readJson(join(folder, 'package.json')));
    if (manifest.success) return manifest.data.version;
    if (folder === dirname(folder)) {
      throw new InternalError('package.json of Lanius was not found: the installation is incomplete');
    }
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
