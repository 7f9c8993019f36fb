import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { commands } from '../../../cli/commands/all.ts';
import { bashCompletion, completions, zshCompletion } from '../../../scripts/completion.ts';
import { manPages } from '../../../scripts/man-pages.ts';

const pages = manPages({ version: '1.2.3', date: '2026-01-02' });

/** What bash would offer after these words; the last one is not complete. */
function offered(...words: readonly string[]): string[] {
  const script = `${bashCompletion()}
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lanius; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' });
  expect(stderr).to.equal('');
  return stdout.trim().split('\n');
}

describe('scripts/package-files', () => {
  it('has a manual page for the program, for each command and for the settings', () => {
    const expected = ['lanius.1', 'lanius-config.1', 'lanius-config.5', 'lanius-daemon.1', 'lanius-purge.1'];
    expected.push(...commands.map(({ words }) => `lanius-${words.join('-')}.1`));
    expect(Object.keys(pages).sort()).to.deep.equal(expected.sort());
    expect(pages['lanius.1']).to.contain('.TH LANIUS 1 "2026-01-02" "Lanius 1.2.3" "Lanius"\n');
    expect(pages['lanius-ip-release.1']).to.contain('\\-\\-force').and.to.contain('ADDRESS');
    expect(pages['lanius-config.5']).to.contain('\\fBlog.level\\fR (LANIUS_LOG_LEVEL)');
  });

  it('writes manual pages in which no text is taken for a request', () => {
    for (const [name, page] of Object.entries(pages)) {
      const requests = page.split('\n').filter((line) => line.startsWith('.'));
      for (const line of requests) expect(line, name).to.match(/^\.(TH|SH|TP|PP|B|I|nf|fi)( |$)/);
      expect(page, name).to.not.match(/[^\x20-\x7e\n]/);
    }
  });

  it('completes commands, their words and their options in bash', () => {
    expect(offered('lanius', 'poo')).to.deep.equal(['pool']);
    expect(offered('lanius', 'host', '')).to.deep.equal(['ls', 'forget']);
    expect(offered('lanius', 'doctor', '--l')).to.deep.equal(['--leaks']);
    expect(offered('lanius', 'ip', '-o', 'json', '')).to.include('release');
    expect(offered('lanius', 'daemon', '--log')).to.deep.equal(['--log.level']);
  });

  it('knows every command in zsh, too', () => {
    const text = zshCompletion();
    for (const words of completions().keys()) expect(text).to.contain(`'${words}`);
  });
});
