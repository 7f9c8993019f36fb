import { expect } from 'chai';
import { commands } from '../../../cli/commands/all.ts';
import { groups } from '../../../cli/help.ts';
import { parse } from '../../../cli/parse.ts';

const complaintOf = (line: string): string => {
  const parsed = parse(line.split(' ').filter((word) => word !== ''));
  return parsed.kind === 'wrong' ? parsed.message : `taken as ${parsed.kind}`;
};
const helpOf = (line: string): string => {
  const parsed = parse(line.split(' ').filter((word) => word !== ''));
  return parsed.kind === 'help' ? parsed.text : `taken as ${parsed.kind}`;
};

describe('cli/parse', () => {
  it('finds the command, its arguments and its options, wherever they stand', () => {
    for (const line of [
      'ip release 10.0.0.7 --pool 10.0.0.0/16 --force -o json --socket /s',
      '-o json ip --pool=10.0.0.0/16 release --force --socket=/s 10.0.0.7',
    ]) {
      const parsed = parse(line.split(' '));
      expect(parsed.kind).to.equal('run');
      if (parsed.kind !== 'run') continue;
      expect(parsed.command.words).to.deep.equal(['ip', 'release']);
      expect(parsed.input.positionals).to.deep.equal(['10.0.0.7']);
      expect(parsed.input.options).to.include({ pool: '10.0.0.0/16', force: true });
      expect(parsed).to.include({ format: 'json', socket: '/s' });
    }
  });

  for (const [line, complaint] of [
    ['netwrk ls', 'unknown command "netwrk", did you mean "network"? see lanius --help'],
    ['ip relaese', 'unknown command "ip relaese", did you mean "release"? see lanius ip --help'],
    ['ip frobnicate', 'unknown command "ip frobnicate"; see lanius ip --help'],
    ['demon', 'unknown command "demon", did you mean "daemon"? see lanius --help'],
    ['ip ls --pol x', 'unknown option --pol, did you mean --pool? see lanius ip ls --help'],
    ['ip ls -x', 'unknown option -x; see lanius ip ls --help'],
    ['ip ls --pool', '--pool needs a value; see lanius ip ls --help'],
    ['ip release', 'ip release needs ADDRESS; see lanius ip release --help'],
    ['ip release a b', 'unexpected argument "b"; see lanius ip release --help'],
    ['doctor --help=yes', 'taken as help'],
    ['reconcile --dry-run=yes', '--dry-run takes no value; see lanius reconcile --help'],
    ['pool ls -o yaml', 'unknown output format "yaml": use table, wide or json; see lanius pool ls --help'],
    ['help config', 'see lanius config --help'],
  ] as const) {
    it(`answers "${line}" with: ${complaint}`, () => {
      expect(complaintOf(line)).to.equal(complaint);
    });
  }

  it('has help on every level', () => {
    for (const line of ['', '--help', '-h', 'help']) expect(helpOf(line)).to.match(/^Usage: lanius COMMAND/);
    for (const group of groups()) {
      for (const line of [group, `${group} --help`, `help ${group}`]) {
        expect(helpOf(line)).to.contain(`Usage: lanius ${group} COMMAND`);
      }
    }
    for (const { words } of commands) {
      const name = words.join(' ');
      for (const line of [`${name} --help`, `${name} -h`, `help ${name}`, `--help ${name}`]) {
        expect(helpOf(line)).to.contain(`Usage: lanius ${name}`);
      }
    }
  });
});
