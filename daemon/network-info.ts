/** This host's networks as `lanius network ls` shows them. */
import type { ArpChoice } from '../links/arp-choice.ts';
import type { NetworkInfo } from '../plugin/wire/admin.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export function networkInfos(
  networks: readonly NetworkRecord[],
  endpoints: readonly EndpointRecord[],
  arp: ReadonlyMap<string, ArpChoice> = new Map(),
): NetworkInfo[] {
  return networks.map((network) => ({
    networkId: network.networkId,
    parent: network.parent,
    mode: network.mode,
    macvlanMode: network.macvlanMode,
    ...(network.mtuBytes === undefined ? {} : { mtuBytes: network.mtuBytes }),
    ...arpOf(arp.get(network.networkId)),
    internal: network.internal,
    subnets: network.subnets.map(({ subnet }) => subnet),
    endpoints: endpoints.filter((endpoint) => endpoint.networkId === network.networkId).length,
  }));
}

function arpOf(choice: ArpChoice | undefined): Pick<NetworkInfo, 'arp'> {
  if (choice === undefined) return {};
  const { wish, how, entries, reason, problem } = choice;
  return { arp: { wish, how, entries, reason, ...(problem === undefined ? {} : { problem }) } };
}
