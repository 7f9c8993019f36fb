/** The bytes that are shipped are those of the source. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { checkoutFolder } from '../support/checkout.ts';
import { need } from '../support/require.ts';

describe('net/bpf/responder-program', () => {
  before(function () {
    need(this, 'clang');
  });

  it('is what the compiler makes of responder.bpf.c', () => {
    const built = execFileSync(join(checkoutFolder, 'scripts/build-bpf.sh'), ['--print'], {
      encoding: 'utf8',
    });
    expect(built).to.equal(readFileSync(join(checkoutFolder, 'net/bpf/responder-program.ts'), 'utf8'));
  });
});
