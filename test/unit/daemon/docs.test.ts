import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { generatedDocs } from '../../../scripts/generate-docs.ts';
import { checkoutFolder } from '../../support/checkout.ts';

describe('scripts/generate-docs', () => {
  for (const [file, make] of Object.entries(generatedDocs)) {
    it(`${file} is what the code says (else: npm run build && npm run docs)`, () => {
      expect(readFileSync(join(checkoutFolder, file), 'utf8')).to.equal(make(checkoutFolder));
    });
  }
});
