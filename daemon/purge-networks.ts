/** Which networks of Lanius a host has and which containers run on them, for `lanius purge`. Pure. */
import { shortId } from '../core/ids.ts';
import type { EngineNetwork } from '../engine/port.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { SeenNetwork } from './purge-plan.ts';

export interface NetworkRecords {
  readonly networks: readonly Pick<NetworkRecord, 'networkId'>[];
  readonly endpoints: readonly Pick<
    EndpointRecord,
    'endpointId' | 'networkId' | 'sandboxKey' | 'container'
  >[];
  readonly claims: readonly Pick<ClaimRecord, 'subnet' | 'networkId'>[];
}

/** As the engine shows them: those of our driver, and those of another one whose addresses are ours. */
export function shownNetworks(shown: readonly EngineNetwork[], driverName: string): SeenNetwork[] {
  return shown.map(({ name, networkId, driver, endpoints }) => ({
    name,
    networkId,
    containers: endpoints.map(
      ({ containerName, containerId, endpointId }) => containerName ?? shortId(containerId ?? endpointId),
    ),
    ...(driver === driverName ? {} : { addressesOnly: true as const }),
  }));
}

/**
 * As the records of the host say, where the engine does not answer. A container counts as running as long as its sandbox may stand:
 * an engine that hangs or was killed ends no container.
 * @param stands whether a sandbox is there, by its key: the engine removes the file with the sandbox, and a boot does
 */
export function recordedNetworks(
  { networks, endpoints, claims }: NetworkRecords,
  stands: (sandboxKey: string) => boolean,
): SeenNetwork[] {
  const running = endpoints.filter(({ sandboxKey }) => sandboxKey === undefined || stands(sandboxKey));
  // The record of a network may be damaged: its containers run all the same.
  const ids = new Set([...networks, ...running].map(({ networkId }) => networkId));
  const recorded = [...ids].map((networkId) => ({
    name: shortId(networkId),
    networkId,
    containers: running
      .filter((endpoint) => endpoint.networkId === networkId)
      .map(({ container, endpointId }) => container?.name ?? shortId(endpointId)),
  }));
  // A claim learns its network when our driver makes it. The engine tells nothing of networks of other drivers.
  const others = claims.filter(({ networkId }) => networkId === undefined).map(({ subnet }) => subnet);
  return [
    ...recorded,
    ...[...new Set(others)].map((subnet) => ({
      name: `with subnet ${subnet}`,
      networkId: '',
      containers: [],
      addressesOnly: true as const,
    })),
  ];
}
