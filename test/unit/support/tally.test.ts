import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { expect } from 'chai';
import { checkoutFolder } from '../../support/checkout.ts';
import { type RunResult, run } from '../../support/run.ts';

const good = { passes: 3, failures: 0, pending: 0, failed: [], skipped: [] };
const bad = { ...good, failures: 1, failed: [{ title: 'net/links adds', reason: 'EPERM\nsecond line' }] };

/** Adds up those lines. */
async function tally(...lines: readonly object[]): Promise<RunResult> {
  const folder = await mkdtemp(`${tmpdir()}/lanius-tally-`);
  try {
    await writeFile(`${folder}/tally`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return await run(['node', `${checkoutFolder}/scripts/tally.cjs`, `${folder}/tally`]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Runs real mocha with the reporter on a file of that content, then adds up. */
async function mochaTally(content: string): Promise<RunResult> {
  const folder = await mkdtemp(`${tmpdir()}/lanius-tally-`);
  try {
    await writeFile(`${folder}/some.test.cjs`, content);
    const reporter = `${checkoutFolder}/test/support/tally-reporter.cjs`;
    const mocha = `${checkoutFolder}/node_modules/mocha/bin/mocha.js`;
    const env = { LANIUS_TALLY: `${folder}/tally`, NODE_PATH: `${checkoutFolder}/node_modules` };
    await run(['node', mocha, '--no-config', '--reporter', reporter, `${folder}/some.test.cjs`], { env });
    return await run(['node', `${checkoutFolder}/scripts/tally.cjs`, `${folder}/tally`]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('scripts/tally', () => {
  it('adds up the runs and says so in the last line', async () => {
    expect(await tally(good, good)).to.deep.include({
      status: 0,
      stdout: '\n6 passed, 0 failed, 0 skipped\n',
    });
  });

  it('names every failure with its reason before the last line, and fails', async () => {
    const { status, stdout } = await tally(good, bad);
    expect(status).to.equal(1);
    expect(stdout).to.equal(
      '\nFailed:\n  net/links adds\n      EPERM\n      second line\n\n6 passed, 1 failed, 0 skipped\n',
    );
  });

  it('fails when something was skipped, and when nothing ran', async () => {
    const skipping = await tally({ ...good, pending: 1, skipped: ['net/vlan makes one'] });
    expect(skipping).to.include({ status: 1 });
    expect(skipping.stdout)
      .to.contain('net/vlan makes one')
      .and.to.match(/3 passed, 0 failed, 1 skipped\n$/);
    expect(await tally()).to.include({ status: 1, stdout: '\n0 passed, 0 failed, 0 skipped\n' });
  });

  it('counts what mocha reports: passed, failed, skipped, failed hooks', async () => {
    const { stdout } = await mochaTally(`
      it('passes', () => {});
      it('fails', () => { throw new Error('broken'); });
      it('is skipped', function () { this.skip(); });
      describe('group', () => { before(() => { throw new Error('no lab'); }); it('never runs', () => {}); });`);
    expect(stdout).to.match(/1 passed, 2 failed, 1 skipped\n$/);
    expect(stdout).to.contain('broken').and.to.contain('no lab');
  });
});
