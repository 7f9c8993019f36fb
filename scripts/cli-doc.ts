/** docs/cli.md, written from the help texts of the command. */
import { commands } from '../cli/commands/all.ts';
import { commandHelp, mainHelp } from '../cli/help.ts';
import { CONFIG_HELP, DAEMON_HELP } from '../daemon/config-command.ts';
import { PURGE_HELP } from '../daemon/purge-help.ts';

export function cliDoc(): string {
  const parts = [
    ...commands.map((command) => part(command.words.join(' '), commandHelp(command))),
    part('daemon', DAEMON_HELP),
    part('config', CONFIG_HELP),
    part('purge', PURGE_HELP),
  ];
  return `${HEAD}\n${block(mainHelp())}\n${parts.join('\n')}`;
}

const HEAD = `<!-- Written by \`npm run docs\` from the help texts in cli/: change those, not this file. -->
# The command \`lanius\`

Every command but \`daemon\`, \`config\` and \`purge\` asks the daemon of this host over its admin socket, so it needs root.
With \`-o json\` a command prints what the daemon answered (plugin/wire/admin.ts has the shapes); errors go to stderr
in one line.
`;

function part(name: string, help: string): string {
  return `## lanius ${name}\n\n${block(help)}`;
}

function block(text: string): string {
  return `\`\`\`text\n${text}\`\`\`\n`;
}
