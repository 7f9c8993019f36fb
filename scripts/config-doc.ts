/** docs/config.md, written from the schema of the configuration. */

import { DEFAULT_CONFIG_FILE } from '../daemon/config.ts';
import { configKeys, nodeAt, type SchemaNode } from '../daemon/config-keys.ts';

export function configDoc(): string {
  const sections = Object.entries(nodeAt([])?.properties ?? {});
  return `${HEAD}\n${sections.map(([name, node]) => sectionDoc(name, node)).join('\n')}`;
}

const HEAD = `<!-- Written by \`npm run docs\` from daemon/config-schema.ts: change that file, not this one. -->
# Configuration

\`${DEFAULT_CONFIG_FILE}\` is a JSON file; without it, or without a key in it, the defaults below hold. Each setting
can also be given as a variable (\`LANIUS_ETCD_TIMEOUT_MS=2000\`) or as a flag (\`lanius daemon --etcd.timeoutMs 2000\`).
A flag wins over a variable, a variable over the file. Lists are written \`a,b\` or as JSON there.

\`lanius config check\` says what is wrong, \`lanius config show\` prints what is in force and where it comes from,
\`lanius config schema\` prints the JSON schema (docs/config.schema.json). A daemon reads its configuration at its start.
\`systemctl reload lanius\` (SIGHUP) makes it read it again: what has "yes" under *reload* is in force at once, a change of
anything else is named in the log and waits for a restart, and a file with an error changes nothing.

\`\`\`json
{
  "etcd": { "hosts": ["http://10.0.0.2:2379", "http://10.0.0.3:2379", "http://10.0.0.4:2379"] },
  "net": { "parent": "eth0" },
  "ipam": { "pools": [{ "name": "prod", "subnet": "10.77.0.0/16", "gateway": "10.77.0.1" }] }
}
\`\`\`
`;

function sectionDoc(name: string, section: SchemaNode): string {
  const keys = configKeys.filter(({ path }) => path.startsWith(`${name}.`));
  const rows = keys.map(({ path, variable, node }) => row(path, variable, node));
  const items = keys.flatMap(({ path, node }) => itemRows(path, node));
  return `## ${name}\n\n${section.description ?? ''}\n\n${TABLE_HEAD}${[...rows, ...items].join('')}`;
}

const TABLE_HEAD = '| key | type | default | reload | meaning |\n|---|---|---|---|---|\n';

function row(path: string, variable: string, node: SchemaNode): string {
  const fallback = node.default === undefined ? '' : `\`${JSON.stringify(node.default)}\``;
  return `| \`${path}\`<br>\`${variable}\` | ${typeOf(node)} | ${fallback} | ${node.reload === true ? 'yes' : ''} | ${node.description ?? ''} |\n`;
}

/** Keys of the objects in a list. */
function itemRows(path: string, node: SchemaNode): string[] {
  return Object.entries(node.items?.properties ?? {}).map(([name, child]) => {
    const needed = node.items?.required?.includes(name) === true ? 'needed' : '';
    return `| \`${path}[].${name}\` | ${typeOf(child)} | ${needed} |  | ${child.description ?? ''} |\n`;
  });
}

function typeOf(node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(', ');
  if (node.type === 'integer') return `${node.minimum ?? ''} to ${node.maximum ?? ''}`;
  if (node.type === 'array') return node.items?.type === 'string' ? 'list of strings' : 'list of objects';
  return node.type === 'object' ? 'map of strings' : (node.type ?? '');
}
