/** `lanius network ls`: the docker networks of this host that Lanius drives. */
import { shortId } from '../../core/ids.ts';
import { ADMIN_PATHS, type NetworkInfo } from '../../plugin/wire/admin.ts';
import type { Command } from '../command.ts';

export const networkLs: Command = {
  words: ['network', 'ls'],
  summary: 'List the networks of this host',
  positionals: [],
  options: {},
  run: async (_input, { client, output }) => {
    const networks = await client.get<NetworkInfo[]>(ADMIN_PATHS.networks);
    output.table(
      networks,
      ['NETWORK ID', 'NAME', 'PARENT', 'MODE', 'ARP', 'SUBNETS', 'ENDPOINTS'],
      networks.map((network) => [
        shortId(network.networkId),
        network.name ?? '',
        network.parent,
        network.macvlanMode === undefined ? network.mode : `${network.mode}/${network.macvlanMode}`,
        network.arp?.how ?? '?',
        network.subnets.join(','),
        String(network.endpoints),
      ]),
    );
    return 0;
  },
};
