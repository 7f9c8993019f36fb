/** This host's networks as `lanius network ls` shows them. */
import type { NetworkInfo } from '../plugin/wire/admin.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export function networkInfos(
  networks: readonly NetworkRecord[],
  endpoints: readonly EndpointRecord[],
): NetworkInfo[] {
  return networks.map((network) => ({
    networkId: network.networkId,
    parent: network.parent,
    mode: network.mode,
    macvlanMode: network.macvlanMode,
    ...(network.mtuBytes === undefined ? {} : { mtuBytes: network.mtuBytes }),
    internal: network.internal,
    subnets: network.subnets.map(({ subnet }) => subnet),
    endpoints: endpoints.filter((endpoint) => endpoint.networkId === network.networkId).length,
  }));
}
