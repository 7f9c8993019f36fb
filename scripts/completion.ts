/**
 * Completion of the command line for bash and zsh, written from the table of commands. Only words and options are
 * completed; values are the shell's files, for no answer of the daemon is worth waiting for at a TAB.
 */
import type { OptionSpec } from '../cli/command.ts';
import { commands, otherPrograms } from '../cli/commands/all.ts';
import { GLOBAL_OPTIONS, groups } from '../cli/help.ts';
import { configKeys } from '../daemon/config-keys.ts';

/** What can follow, by the words so far: `''`, `'ip'`, `'ip release'`. */
export function completions(): ReadonlyMap<string, readonly string[]> {
  const table = new Map<string, readonly string[]>();
  const firsts = [...commands.map(({ words }) => words[0] ?? ''), ...otherPrograms.map(({ word }) => word)];
  table.set('', [...new Set([...firsts, 'help'])]);
  for (const group of groups()) {
    table.set(
      group,
      commands
        .filter(({ words }) => words[0] === group && words.length > 1)
        .map(({ words }) => words[1] ?? ''),
    );
  }
  for (const { words, options } of commands)
    table.set(words.join(' '), flagsOf({ ...options, ...GLOBAL_OPTIONS }));
  const settings = ['--config', ...configKeys.map(({ path }) => `--${path}`), '--help'];
  table.set('daemon', settings);
  table.set('config', ['check', 'show', 'schema', ...settings, '--output']);
  table.set('purge', ['--dry-run', '--yes', '-y', '--force', '--config', '--output', '-o', '--help', '-h']);
  return table;
}

export function bashCompletion(): string {
  return `# bash completion for lanius; made from its table of commands
_lanius() {
  local cur=\${COMP_WORDS[COMP_CWORD]} first='' second='' word at
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    [[ $word == -* ]] && continue
    if [[ -z $first ]]; then first=$word; elif [[ -z $second ]]; then second=$word; fi
  done
  local words=''
  case "$first $second" in
${bashCases()}
  esac
  # shellcheck disable=SC2207
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  # nothing of ours fits: a file, for commands that take one
  [[ \${#COMPREPLY[@]} -gt 0 || $cur == -* ]] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _lanius lanius
`;
}

function bashCases(): string {
  const table = completions();
  return [...table]
    .sort(([a], [b]) => b.split(' ').length - a.split(' ').length || b.length - a.length)
    .map(([key, words]) => `    ${patternOf(key)}) words='${words.join(' ')}' ;;`)
    .join('\n');
}

/** Of `"$first $second"`. */
function patternOf(key: string): string {
  if (key === '') return '" "';
  return key.includes(' ') ? `'${key}'` : `'${key} '*`;
}

export function zshCompletion(): string {
  const table = completions();
  const firsts = [
    ...groups().map((group) => [group, `${group} ...`] as const),
    ...commands
      .filter(({ words }) => words.length === 1)
      .map(({ words, summary }) => [words[0] ?? '', summary] as const),
    ...otherPrograms.map(({ word, summary }) => [word, summary] as const),
  ];
  const cases = [...table]
    .filter(([key]) => key !== '' && !groups().includes(key))
    .map(
      ([key, words]) =>
        `    ${zshPattern(key)}) table=(${words.map(quoted).join(' ')}); compadd -a table || _files ;;`,
    );
  const seconds = groups().map((group) => {
    const rows = commands.filter(({ words }) => words[0] === group && words.length > 1);
    return `    '${group} ') table=(${rows.map(({ words, summary }) => quoted(`${words[1]}:${summary}`)).join(' ')}); _describe command table ;;`;
  });
  return `#compdef lanius
# zsh completion for lanius; made from its table of commands
_lanius() {
  local -a before table
  before=(\${\${words[2,CURRENT-1]}:#-*})
  case "\${before[1]-} \${before[2]-}" in
    ' ') table=(${firsts.map(([word, summary]) => quoted(`${word}:${summary}`)).join(' ')}); _describe command table ;;
${[...cases, ...seconds].join('\n')}
    *) _files ;;
  esac
}
_lanius "$@"
`;
}

function zshPattern(key: string): string {
  return key.includes(' ') ? `'${key}'` : `'${key} '*`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function flagsOf(specs: Readonly<Record<string, OptionSpec>>): string[] {
  return Object.entries(specs).flatMap(([name, { short, removable }]) => [
    `--${name}`,
    ...(removable === true ? [`--no-${name}`] : []),
    ...(short === undefined ? [] : [`-${short}`]),
  ]);
}
