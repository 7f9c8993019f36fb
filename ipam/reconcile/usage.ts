/** Who uses an address according to the engine, by container name. */

import { shortId } from '../../core/ids.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr } from '../../core/ip.ts';
import type { EnginePort } from '../../engine/port.ts';

const ENGINE_TIMEOUT_MS = 3000;

/** @throws EngineUnavailable */
export async function usersOf(engine: EnginePort, subnet: Cidr, address: IpAddress): Promise<string[]> {
  const networks = await engine.networks(ENGINE_TIMEOUT_MS);
  const text = formatIp(address);
  return networks
    .filter((network) =>
      network.subnets.some((candidate) => formatCidr(parseCidr(candidate)) === formatCidr(subnet)),
    )
    .flatMap((network) => network.endpoints)
    .filter((endpoint) => endpoint.ipv4 === text || endpoint.ipv6 === text)
    .map((endpoint) => endpoint.containerName ?? shortId(endpoint.endpointId));
}
