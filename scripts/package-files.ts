/**
 * Writes what a package has and a checkout has not: manual pages into TARGET/man, completion of the shells into
 * TARGET/completion. Called by scripts/build-rpm.sh: `node package-files.js TARGET`, with SOURCE_DATE_EPOCH (seconds) for the
 * date of the pages and VERSION.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageVersion } from '../core/version.ts';
import { bashCompletion, zshCompletion } from './completion.ts';
import { manPages } from './man-pages.ts';

/** @param target folder, made if it is missing */
export function writePackageFiles(target: string, version: string, at: Date): void {
  const files = {
    man: manPages({ version, date: at.toISOString().slice(0, 10) }),
    completion: { 'lanius.bash': bashCompletion(), _lanius: zshCompletion() },
  };
  for (const [folder, pages] of Object.entries(files)) {
    mkdirSync(join(target, folder), { recursive: true });
    for (const [name, text] of Object.entries(pages)) writeFileSync(join(target, folder, name), text);
  }
}

if (process.argv[1] === import.meta.filename) {
  const [, , target = '.'] = process.argv;
  const seconds = Number(process.env['SOURCE_DATE_EPOCH'] ?? Date.now() / 1000);
  writePackageFiles(target, process.env['VERSION'] ?? packageVersion(), new Date(seconds * 1000));
}
