/**
 * IpamDriver.*: libnetwork's words for what ipam/ decides. Checks what can be checked without the store, so that a
 * wrong request costs nothing and its error names what is wrong.
 *
 * INVARIANTS
 * - Release-type verbs succeed for what is not known; the engine never repeats them.
 * - Gateway and aux addresses are asked for before CreateNetwork, on every host that has the network.
 * - RequiresMACAddress stays false: with true the engine invents a MAC first, and the driver may not change it.
 * - RequiresRequestReplay stays false: claims and leases are durable before they are answered.
 *
 * Source: moby libnetwork/docs/ipam.md.
 */
import { InvalidRequest } from '../core/errors.ts';
import { cidrContains, formatCidr, formatIp } from '../core/ip.ts';
import type { AddressService, PoolRequest } from '../ipam/address-service.ts';
import { parseIpamOptions } from './options.ts';
import { ADDRESS_SPACE, type Call } from './ports.ts';
import {
  ADDRESS_TYPE_OPTION,
  type AddressSpacesReply,
  ENDPOINT_NAME_OPTION,
  GATEWAY_TYPE,
  type IpamCapabilitiesReply,
  type ReleaseAddressRequest,
  type ReleasePoolRequest,
  type RequestAddressReply,
  type RequestAddressRequest,
  type RequestPoolReply,
  type RequestPoolRequest,
} from './wire/ipam.ts';

type Nothing = Record<string, never>;

export interface IpamDriverDependencies {
  readonly addresses: AddressService;
}

export class IpamDriver {
  readonly #addresses: AddressService;

  constructor({ addresses }: IpamDriverDependencies) {
    this.#addresses = addresses;
  }

  getCapabilities(): IpamCapabilitiesReply {
    return { RequiresMACAddress: false, RequiresRequestReplay: false };
  }

  /** One space for both scopes: pools are cluster-wide, whatever makes the network. */
  getDefaultAddressSpaces(): AddressSpacesReply {
    return { LocalDefaultAddressSpace: ADDRESS_SPACE, GlobalDefaultAddressSpace: ADDRESS_SPACE };
  }

  /** @throws InvalidRequest; what AddressService.requestPool throws */
  async requestPool(request: RequestPoolRequest, { deadline }: Call): Promise<RequestPoolReply> {
    const { poolId, subnet } = await this.#addresses.requestPool(poolRequestOf(request), deadline);
    return { PoolID: poolId, Pool: formatCidr(subnet), Data: {} };
  }

  /** Drops the pool claim with all it holds. */
  async releasePool({ PoolID }: ReleasePoolRequest, { deadline }: Call): Promise<Nothing> {
    await this.#addresses.releasePool(PoolID, deadline);
    return {};
  }

  /** @throws what AddressService.requestAddress throws */
  async requestAddress(request: RequestAddressRequest, { deadline }: Call): Promise<RequestAddressReply> {
    const name = request.Options[ENDPOINT_NAME_OPTION];
    const { address, prefixLength } = await this.#addresses.requestAddress(
      {
        poolId: request.PoolID,
        ...(request.Address === undefined ? {} : { address: request.Address }),
        gateway: request.Options[ADDRESS_TYPE_OPTION] === GATEWAY_TYPE,
        ...(typeof name === 'string' && name !== '' ? { endpointName: name } : {}),
      },
      deadline,
    );
    return { Address: `${formatIp(address)}/${prefixLength}`, Data: {} };
  }

  /** Succeeds for addresses that are not held. @throws InvalidRequest if no address is named */
  async releaseAddress({ PoolID, Address }: ReleaseAddressRequest, { deadline }: Call): Promise<Nothing> {
    if (Address === undefined)
      throw new InvalidRequest('ReleaseAddress names no address: nothing was released');
    await this.#addresses.releaseAddress(PoolID, Address, deadline);
    return {};
  }
}

function poolRequestOf(request: RequestPoolRequest): PoolRequest {
  const { Pool: subnet, SubPool: range } = request;
  const family = request.V6 === true ? 6 : 4;
  if (request.AddressSpace !== ADDRESS_SPACE) {
    throw new InvalidRequest(
      `address space "${request.AddressSpace.slice(0, 64)}" is not ours, which is "${ADDRESS_SPACE}": restart the engine, so that it asks for it anew`,
    );
  }
  if (subnet !== undefined && subnet.family !== family) {
    throw new InvalidRequest(`subnet ${formatCidr(subnet)} is not IPv${family}: give one that is, or none`);
  }
  if (range !== undefined && subnet === undefined) {
    throw new InvalidRequest(
      `--ip-range ${formatCidr(range)} needs the subnet that it is a part of: add --subnet`,
    );
  }
  if (range !== undefined && subnet !== undefined && !cidrContains(subnet, range)) {
    throw new InvalidRequest(
      `--ip-range ${formatCidr(range)} is not inside of --subnet ${formatCidr(subnet)}: give a part of the subnet`,
    );
  }
  return {
    ...(subnet === undefined ? {} : { subnet }),
    ...(range === undefined ? {} : { range }),
    family,
    options: parseIpamOptions(request.Options),
  };
}
