/**
 * halves.cjs FOLDER: the compiled test files of a folder, by name, for a command line. With LANIUS_HALF=1 or 2 every second
 * one, so that two runs beside each other have half the files each.
 */
const { readdirSync } = require('node:fs');
const { join } = require('node:path');

const [folder] = process.argv.slice(2);
const half = Number(process.env.LANIUS_HALF ?? 0);
const files = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
const chosen = files.sort().filter((_, index) => half === 0 || index % 2 === half - 1);
process.stdout.write(`${chosen.map((name) => join(folder, name)).join(' ')}\n`);
