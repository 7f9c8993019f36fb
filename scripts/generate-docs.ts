/**
 * Writes the pages under docs/ that are made from code (`npm run docs`); test/unit/daemon/docs.test.ts fails while
 * a committed page differs. A new page is a new entry in `generatedDocs`.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { benchmarksDoc } from '../bench/results-folder.ts';
import { jsonSchema } from '../daemon/config-keys.ts';
import { cliDoc } from './cli-doc.ts';
import { configDoc } from './config-doc.ts';
import { failpointsDoc } from './failpoints-doc.ts';
import { optionsDoc } from './options-doc.ts';

/** File under the checkout, and what makes it; @param root folder of the checkout */
export const generatedDocs: Readonly<Record<string, (root: string) => string>> = {
  'docs/config.md': configDoc,
  'docs/config.schema.json': () => `${JSON.stringify(jsonSchema, null, 2)}\n`,
  'docs/cli.md': cliDoc,
  'docs/options.md': optionsDoc,
  'docs/failpoints.md': failpointsDoc,
  'docs/benchmarks.md': benchmarksDoc,
};

/** @param root folder of the checkout */
export function writeDocs(root: string): void {
  for (const [file, make] of Object.entries(generatedDocs)) writeFileSync(resolve(root, file), make(root));
}

if (process.argv[1] === import.meta.filename) writeDocs(process.cwd());
