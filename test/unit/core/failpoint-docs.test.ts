import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { FAILPOINTS } from '../../../core/failpoint.ts';
import { checkoutFolder } from '../../support/checkout.ts';

const rows = readFileSync(join(checkoutFolder, 'docs/failpoints.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

describe('docs/failpoints.md', () => {
  it('has one row for every failpoint, in the order of the list', () => {
    expect(rows.map(([name]) => name)).to.deep.equal(FAILPOINTS.map((name) => `\`${name}\``));
  });

  it('says of each who passes it, between which effects it lies, and what comes of it', () => {
    for (const row of rows) {
      expect(row, row[0]).to.have.length(5);
      for (const cell of row) expect(cell, row[0]).not.to.equal('');
    }
  });
});
