import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { FAILPOINT_NAMES } from '../../../core/failpoint.ts';

const compiled = pathToFileURL(resolve(import.meta.dirname, '../../../core/failpoint.js')).href;

/** A process of its own, because an armed failpoint ends it. */
function run(variable: string | undefined, passages: readonly string[]) {
  const calls = passages.map((name) => `failpoint('${name}');`).join('');
  const script = `import { failpoint } from '${compiled}'; ${calls} console.log('alive');`;
  const env = { ...process.env };
  delete env['LANIUS_FAILPOINT'];
  if (variable !== undefined) env['LANIUS_FAILPOINT'] = variable;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
}

describe('core/failpoint', () => {
  it('does nothing without the variable', () => {
    expect(run(undefined, FAILPOINT_NAMES)).to.include({ status: 0, stdout: 'alive\n' });
  });

  it('kills the process at the armed point, and says which', () => {
    const { signal, stderr, stdout } = run('lease.after-commit=kill', ['lease.after-commit']);
    expect({ signal, stderr, stdout }).to.deep.equal({
      signal: 'SIGKILL',
      stderr: 'failpoint lease.after-commit: killed\n',
      stdout: '',
    });
  });

  it('passes the other points', () => {
    const others = FAILPOINT_NAMES.filter((name) => name !== 'lease.after-commit');
    expect(run('lease.after-commit=kill', others)).to.include({ status: 0, stdout: 'alive\n' });
  });

  it('counts passages', () => {
    const armed = 'join.after-link@2=kill,leave.after-undo=kill';
    expect(run(armed, ['join.after-link'])).to.include({ status: 0 });
    expect(run(armed, ['join.after-link', 'join.after-link'])).to.include({ signal: 'SIGKILL' });
  });

  it('refuses a point that does not exist, so that no test proves nothing', () => {
    const { status, stderr } = run('lease.typo=kill', []);
    expect(status).to.equal(1);
    expect(stderr).to.contain('"lease.typo=kill" is not one of lease.before-commit=kill');
  });
});
