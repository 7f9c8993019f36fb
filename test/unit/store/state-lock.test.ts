import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Conflict } from '../../../core/errors.ts';
import { acquireStateLock } from '../../../store/state-lock.ts';

describe('store/state-lock', () => {
  let stateDir: string;
  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'lanius-lock-'));
  });
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  const refusal = async (folder: string): Promise<unknown> =>
    await acquireStateLock(folder).then(
      () => undefined,
      (error: unknown) => error,
    );

  it('is held by one, under every name of the folder, and free after release', async () => {
    const link = `${stateDir}/link`;
    mkdirSync(`${stateDir}/real`);
    symlinkSync('real', link);
    const lock = await acquireStateLock(`${stateDir}/real`);
    for (const name of [`${stateDir}/real`, link, `${stateDir}/./real/`]) {
      const error = await refusal(name);
      expect(error).to.be.instanceOf(Conflict);
      expect(error)
        .to.have.property('message')
        .that.includes(`${name} is in use`)
        .and.includes(`pid ${process.pid}`);
    }
    const other = await acquireStateLock(stateDir);
    await lock.release();
    await lock.release();
    await (await acquireStateLock(link)).release();
    await other.release();
  });

  it('works for folders with long and with foreign names', async () => {
    for (const name of ['x'.repeat(120), 'zürich 漢']) {
      const lock = await acquireStateLock(join(stateDir, name));
      expect(await refusal(join(stateDir, name))).to.be.instanceOf(Conflict);
      await (await acquireStateLock(join(stateDir, `${name}2`))).release();
      await lock.release();
    }
  });

  it('is freed by the death of its holder', async () => {
    const module = JSON.stringify(new URL('../../../store/state-lock.js', import.meta.url).href);
    const script = `
      const { acquireStateLock } = await import(${module});
      await acquireStateLock(${JSON.stringify(stateDir)});
      console.log('held');
      setInterval(() => {}, 1000);
    `;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    expect(await refusal(stateDir))
      .to.have.property('message')
      .that.includes(`pid ${holder.pid}`);
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    await (await acquireStateLock(stateDir)).release();
  });
});
