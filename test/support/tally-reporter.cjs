/**
 * Mocha's spec reporter that also appends its counts and failures to the file LANIUS_TALLY, one JSON line a run:
 * {"passes","failures","pending","failed":[{"title","reason"}],"skipped":["title"]}. scripts/test.sh adds them up.
 *
 * CommonJS because mocha loads reporters synchronously.
 */
const { appendFileSync } = require('node:fs');
const { reporters } = require('mocha');

class TallyReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const failed = [];
    const skipped = [];
    runner.on('fail', (test, error) => {
      failed.push({ title: test.fullTitle(), reason: error?.message ?? String(error) });
    });
    runner.on('pending', (test) => skipped.push(test.fullTitle()));
    runner.on('end', () => {
      const file = process.env['LANIUS_TALLY'];
      if (file === undefined) return;
      const { passes, failures, pending } = this.stats;
      appendFileSync(file, `${JSON.stringify({ passes, failures, pending, failed, skipped })}\n`);
    });
  }
}

module.exports = TallyReporter;
