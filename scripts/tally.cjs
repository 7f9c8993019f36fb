#!/usr/bin/env node
// tally.cjs FILE   add up the lines that test/support/tally-reporter.cjs and scripts/test.sh wrote: every skip and every
// failure with its reason, then the line `N passed, N failed, N skipped`. Exit status 1 unless all passed and some did.
const { existsSync, readFileSync } = require('node:fs');

const [, , file] = process.argv;
const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
const runs = lines.map((line) => JSON.parse(line));
const sum = (key) => runs.reduce((total, run) => total + run[key], 0);
const skipped = runs.flatMap((run) => run.skipped);
const failed = runs.flatMap((run) => run.failed);

if (skipped.length > 0) console.log(['', 'Skipped:', ...skipped.map((title) => `  ${title}`)].join('\n'));
if (failed.length > 0) {
  const text = ({ title, reason }) =>
    `  ${title}\n      ${String(reason).trim().split('\n').join('\n      ')}`;
  console.log(['', 'Failed:', ...failed.map(text)].join('\n'));
}
console.log(`\n${sum('passes')} passed, ${sum('failures')} failed, ${sum('pending')} skipped`);
process.exit(sum('failures') + sum('pending') > 0 || sum('passes') === 0 ? 1 : 0);
