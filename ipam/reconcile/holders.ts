/**
 * Finds out, after a container's way in, which container an endpoint belongs to, and notes it on the lease. Never
 * waited for: one question to the engine serves all endpoints of a network that joined meanwhile; if the engine
 * does not tell in time the lease is bound without the container's name.
 *
 * @see Docker Engine API, GET /networks/{id}: `Containers` lists an endpoint under `ep-<id>` until its container
 *   runs, then under the container's id
 */
import { type Cidr, formatIp, type IpAddress, parseInterface } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { EngineEndpoint, EnginePort } from '../../engine/port.ts';
import type { EndpointRecord } from '../../store/host-records.ts';
import type { AddressService, LeaseHolder } from '../address-service.ts';

/** When to ask, after the first join of a network, in milliseconds. */
const ASK_AFTER_MS = [1000, 2000, 4000, 8000, 15_000, 30_000];
const ENGINE_TIMEOUT_MS = 2000;

export interface HoldersDependencies {
  readonly engine: EnginePort;
  readonly addresses: AddressService;
  readonly logger: Logger;
}

export class Holders {
  readonly #deps: HoldersDependencies;
  /** Endpoints whose container is not known yet, with the number of questions asked. */
  readonly #waiting = new Map<string, { readonly endpoint: EndpointRecord; asked: number }>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(deps: HoldersDependencies) {
    this.#deps = deps;
  }

  /** The endpoint's way in is done. Returns at once. */
  joined(endpoint: EndpointRecord): void {
    this.#waiting.set(endpoint.endpointId, { endpoint, asked: 0 });
    this.#schedule(endpoint.networkId, 0);
  }

  left(endpointId: string): void {
    this.#waiting.delete(endpointId);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
  }

  #schedule(networkId: string, attempt: number): void {
    if (this.#timers.has(networkId)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(networkId);
      void this.#ask(networkId);
    }, ASK_AFTER_MS[attempt] ?? ASK_AFTER_MS.at(-1));
    timer.unref();
    this.#timers.set(networkId, timer);
  }

  async #ask(networkId: string): Promise<void> {
    const known = new Map<string, EngineEndpoint>();
    try {
      const network = await this.#deps.engine.network(networkId, ENGINE_TIMEOUT_MS);
      for (const endpoint of network?.endpoints ?? []) known.set(endpoint.endpointId, endpoint);
    } catch (error) {
      this.#deps.logger.debug('the engine did not say whose endpoints these are', { networkId, err: error });
    }
    let next = 0;
    for (const waiting of this.#waiting.values()) {
      if (waiting.endpoint.networkId !== networkId) continue;
      waiting.asked += 1;
      const found = known.get(waiting.endpoint.endpointId);
      if (found?.containerId !== undefined || waiting.asked >= ASK_AFTER_MS.length) {
        this.#waiting.delete(waiting.endpoint.endpointId);
        this.#note(waiting.endpoint, found);
      } else {
        next = Math.max(next, waiting.asked);
      }
    }
    if (next > 0) this.#schedule(networkId, next);
  }

  /** Its container is known, or has another name now. Returns at once. */
  named(endpoint: EndpointRecord, container: { readonly containerId: string; readonly name: string }): void {
    this.#note(endpoint, { containerId: container.containerId, containerName: container.name });
  }

  #note(
    endpoint: EndpointRecord,
    found: Pick<EngineEndpoint, 'containerId' | 'containerName'> | undefined,
  ): void {
    const holder: LeaseHolder = {
      endpointId: endpoint.endpointId,
      networkId: endpoint.networkId,
      macAddress: endpoint.macAddress,
      ...(found?.containerId === undefined ? {} : { containerId: found.containerId }),
      ...(found?.containerName === undefined ? {} : { containerName: found.containerName }),
    };
    for (const { subnet, address } of addressesOf(endpoint))
      this.#deps.addresses.noteHolder(subnet, address, holder);
  }
}

/** The endpoint's addresses with their subnets. */
export function addressesOf(
  endpoint: EndpointRecord,
): { readonly subnet: Cidr; readonly address: ReturnType<typeof parseInterface>['address'] }[] {
  return [endpoint.address, endpoint.addressIpv6]
    .filter((text) => text !== undefined && text !== '')
    .map((text) => parseInterface(text ?? ''));
}

/** One of these endpoints has the address. On the way of a container, so nothing is parsed. */
export function someHasAddress(
  endpoints: readonly EndpointRecord[],
  subnet: Cidr,
  address: IpAddress,
): boolean {
  const text = `${formatIp(address)}/${subnet.prefixLength}`;
  return endpoints.some((known) => known.address === text || known.addressIpv6 === text);
}
