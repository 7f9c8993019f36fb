/** docs/options.md, written from the option tables of plugin/options.ts. */
import { optionRows } from '../plugin/options.ts';

export function optionsDoc(): string {
  const rows = optionRows().map((row) => [
    `\`${row.given} ${row.key}\``,
    row.values,
    row.default,
    row.explanation,
  ]);
  const lines = [['Option', 'Values', 'Default', 'Meaning'], ['---', '---', '---', '---'], ...rows];
  return `${HEAD}${lines.map((cells) => `| ${cells.map(cell).join(' | ')} |`).join('\n')}\n${FOOT}`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

const HEAD = `<!-- Written by \`npm run docs\` from plugin/options.ts: change that, not this file. -->
# Options

\`-o\` and \`--ipam-opt\` stand at \`docker network create\`, \`--driver-opt\` at \`docker network connect\`. An option that
is not known is refused by name; options of the engine itself (\`com.docker.…\`, and any other name with a dot that
does not begin with \`lanius.\`) are left to it. \`lanius.\` may stand in front of any of ours (\`lanius.net_in\`, as for labels).

`;

const FOOT = `
What Docker's own flags mean here:

| Flag | Meaning |
| --- | --- |
| \`--subnet\` | the pool. The same subnet on many hosts is one pool; a subnet that overlaps another pool is refused |
| \`--ip-range\` | addresses are chosen from this part of the pool. It may differ from host to host |
| \`--gateway\` | the real router. Reserved in the pool, shared by all hosts and networks that name it; without the flag the router that the pool has already, else the first address of the subnet |
| \`--aux-address\` | more addresses that are never handed out, shared likewise |
| \`--internal\` | containers get no default route |
| \`--ip\` | this address of the pool, also outside the range; an error if somebody has it |
| \`--mac-address\` | honoured; without it the MAC follows from the address |
| \`-p\` | refused: on a flat network a container is reached at its own address |
`;
