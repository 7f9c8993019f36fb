/**
 * What the plugin asks of address management: the four IPAM verbs, plus what only the network driver knows
 * (which network a claim belongs to, which endpoint has an address). Implemented by ipam/addresses.ts.
 *
 * Every call is idempotent, ends within its deadline, and throws only DriverErrors.
 */
import type { Deadline } from '../core/deadline.ts';
import type { Cidr, IpAddress, IpFamily } from '../core/ip.ts';
import type { MacPrefix } from '../core/mac.ts';
import type { LeaseLimits } from '../store/schema.ts';

export interface PoolRequest {
  /** `--subnet`; absent = choose the pool for this host. Host bits are cleared already. */
  readonly subnet?: Cidr;
  /** `--ip-range`, inside the subnet. */
  readonly range?: Cidr;
  readonly family: IpFamily;
  /** `--ipam-opt`, keys checked already. */
  readonly options: {
    /** Name of an operator's or a configured pool. */
    readonly pool?: string;
    /** Name of a range of the pool. */
    readonly range?: string;
    /** Addresses follow container names; absent = as the pool says. */
    readonly sticky?: boolean;
  };
}

export interface PoolGrant {
  /** Stable over restarts; ipam/pool/claims.ts says what is in it. */
  readonly poolId: string;
  readonly subnet: Cidr;
}

export interface AddressRequest {
  readonly poolId: string;
  /** `--ip`, `--gateway` or an aux address; absent = any. */
  readonly address?: IpAddress;
  /** The engine said that this is the network's gateway. */
  readonly gateway: boolean;
  /** Container name, from engine 29 on. */
  readonly endpointName?: string;
}

export interface AddressGrant {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** What the network driver needs to know of a pool. */
export interface PoolSettings {
  /** For people: its name, or its subnet. */
  readonly title: string;
  /** Every network on the pool is in this VLAN. */
  readonly vlan?: number;
  /** Instead of the configured one. */
  readonly macPrefix?: MacPrefix;
}

export interface NetworkAttachment {
  readonly networkId: string;
  readonly subnets: readonly {
    readonly subnet: Cidr;
    readonly gateway?: IpAddress;
  }[];
}

/** Who has an address; written to the lease after the container's way in, never waited for. */
export interface LeaseHolder {
  readonly endpointId: string;
  readonly networkId: string;
  readonly macAddress: string;
  readonly containerId?: string;
  readonly containerName?: string;
}

export interface AddressService {
  /** @throws Conflict if the subnet overlaps another pool; InvalidRequest if no default pool can serve */
  requestPool(request: PoolRequest, deadline: Deadline): Promise<PoolGrant>;
  /** Drops the claim and everything it still holds (the engine does not release them one by one). */
  releasePool(poolId: string, deadline: Deadline): Promise<void>;
  /** @throws PoolExhausted with counts; Conflict if that address is taken (names the holder); NotFound pool */
  requestAddress(request: AddressRequest, deadline: Deadline): Promise<AddressGrant>;
  /** Succeeds for what is not held. While etcd is away the release is written to disk and done later. */
  releaseAddress(poolId: string, address: IpAddress, deadline: Deadline): Promise<void>;
  /** Ties this host's newest fitting unattached claims to the network. @throws NotFound if there is no claim */
  attachNetwork(attachment: NetworkAttachment): Promise<void>;
  /**
   * Makes sure that this host holds the lease of an address that the engine says an endpoint has. From memory
   * in the ordinary case; if the lease is gone (freed while the engine was retrying) it is taken again.
   * @param fixedMac the endpoint's MAC, if it is not the one that follows from the address: all hosts are told
   * @throws Conflict if somebody else has it, also if that is another endpoint of this host
   */
  confirmLease(
    subnet: Cidr,
    address: IpAddress,
    endpointId: string,
    deadline: Deadline,
    fixedMac?: string,
  ): Promise<void>;
  /** From memory; waits only while the pools have not been read yet. @throws StoreUnavailable within the deadline */
  poolSettings(subnet: Cidr, deadline: Deadline): Promise<PoolSettings>;
  /** Queues the holder to be written to the lease; returns at once, failures are logged and retried. */
  noteHolder(subnet: Cidr, address: IpAddress, holder: LeaseHolder): void;
  /**
   * Queues how the limits of the address stand, to be written to the lease: with the holder where that is still to come, so
   * that a start costs no more. All of them, each time; the same ones again are not written. Returns at once.
   */
  noteLimits(subnet: Cidr, address: IpAddress, limits: LeaseLimits): void;
}
