/** Doctor's checks of links: what networks stand on, and whether containers have theirs. */
import type { DriverError } from '../core/errors.ts';
import { linkAliasOf, shortId } from '../core/ids.ts';
import type { NetPort } from '../net/port.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export interface LinkWorld {
  readonly networks: { list(): readonly NetworkRecord[] };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  /** Why what a network stands on cannot be made, by network id. */
  readonly uplinks: { readonly problems: ReadonlyMap<string, DriverError> };
  /** Why a lost link cannot be made again, by endpoint id. */
  readonly revival: { readonly problems: ReadonlyMap<string, DriverError> };
  readonly net: Pick<NetPort, 'linkListIn'>;
}

export function checkUplinks({ networks, uplinks }: Pick<LinkWorld, 'networks' | 'uplinks'>): DoctorCheck[] {
  return networks.list().flatMap(({ networkId, parent }): DoctorCheck[] => {
    const problem = uplinks.problems.get(networkId);
    if (problem === undefined) return [];
    return [
      {
        check: `network ${shortId(networkId)}`,
        status: 'fail',
        finding: `what it stands on (${parent}) is missing: ${problem.message}`,
        remedy: 'it is made as soon as that is mended; containers of this network cannot start meanwhile',
      },
    ];
  });
}

/** Does each container have its link? The kernel destroys it with its parent, and the engine does not notice. */
export async function checkEndpoints({ endpoints, net, revival }: LinkWorld): Promise<DoctorCheck[]> {
  const lost: DoctorCheck[] = [];
  let standing = 0;
  for (const { endpointId, sandboxKey, address, addressIpv6 } of endpoints.list()) {
    if (sandboxKey === undefined) continue;
    const links = await net.linkListIn(sandboxKey);
    // The sandbox is gone: reconciliation frees the endpoint.
    if (links === undefined) continue;
    if (links.some(({ alias }) => alias === linkAliasOf(endpointId))) {
      standing += 1;
      continue;
    }
    const why = revival.problems.get(endpointId)?.message;
    lost.push({
      check: `endpoint ${shortId(endpointId)}`,
      status: 'fail',
      finding: `the container with ${address ?? addressIpv6 ?? 'no address'} runs, but its link is gone: its parent was deleted or its driver reloaded${why === undefined ? '' : `; ${why}`}`,
      remedy: 'restart the container (docker restart)',
    });
  }
  if (lost.length > 0) return lost;
  return [{ check: 'endpoints', status: 'ok', finding: `${standing} containers have their links` }];
}
