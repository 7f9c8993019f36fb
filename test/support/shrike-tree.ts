/**
 * A tree as Shrike leaves it in etcd v2, as etcd's v2 API answers for it.
 * Source: TalkingData/Shrike 2373322, oam-docker-ipam/ipamdriver/server.go and oam-docker-ipam/bridge/bridge.go; etcd 2.3,
 * Documentation/api.md, "Listing a directory".
 */

export interface ShrikeParts {
  readonly net: string;
  readonly mask: string;
  readonly free?: readonly string[];
  readonly assigned?: readonly string[];
}

export interface ShrikeHosts {
  readonly subnet: string;
  readonly gateway: string;
  readonly pool?: readonly string[];
  readonly assigned?: readonly string[];
}

interface Node {
  readonly key: string;
  readonly dir?: true;
  readonly value?: string;
  readonly nodes?: readonly Node[];
  readonly modifiedIndex: number;
  readonly createdIndex: number;
}

let index = 10;

const leaf = (key: string, value: string): Node => {
  index += 1;
  return { key, value, modifiedIndex: index, createdIndex: index };
};
const dir = (key: string, nodes: readonly Node[]): Node => ({
  key,
  dir: true,
  // An empty directory has no nodes.
  ...(nodes.length === 0 ? {} : { nodes }),
  modifiedIndex: 4,
  createdIndex: 4,
});
const list = (key: string, addresses: readonly string[]): Node =>
  dir(
    key,
    addresses.map((address) => leaf(`${key}/${address}`, '')),
  );

/** The answer for `/v2/keys/talkingdata?recursive=true`. */
export function shrikeTree(
  networks: readonly ShrikeParts[],
  hosts?: ShrikeHosts,
): { node: Node; action: 'get' } {
  const containers = networks.map(({ net, mask, free = [], assigned = [] }) => {
    const key = `/talkingdata/containers/${net}`;
    return dir(key, [
      leaf(`${key}/config`, JSON.stringify({ Ipnet: net, Mask: mask })),
      list(`${key}/pool`, free),
      list(`${key}/assigned`, assigned),
    ]);
  });
  const own =
    hosts === undefined
      ? []
      : [
          dir('/talkingdata/hosts', [
            leaf(
              '/talkingdata/hosts/config',
              JSON.stringify({ Subnet: hosts.subnet, Gateway: hosts.gateway }),
            ),
            list('/talkingdata/hosts/pool', hosts.pool ?? []),
            list('/talkingdata/hosts/assigned', hosts.assigned ?? []),
          ]),
        ];
  return {
    action: 'get',
    node: dir('/talkingdata', [dir('/talkingdata/containers', containers), ...own]),
  };
}

/** `count` addresses from the first on, within one /16. */
export function addressesFrom(first: string, count: number): string[] {
  const [a = 0, b = 0, c = 0, d = 0] = first.split('.').map(Number);
  return Array.from({ length: count }, (_, i) => `${a}.${b}.${c + ((d + i) >> 8)}.${(d + i) & 255}`);
}

/** A host's list of what its containers have: docs/migrate-from-shrike.md. */
export function usedList(
  host: string,
  own: string,
  containers: readonly (readonly [string, string])[],
): string {
  return [
    `host ${host} ${own} 172.17.0.1`,
    ...containers.map(([name, ip]) => `/${name} ${ip}`),
    'end',
    '',
  ].join('\n');
}
