/** What people ask: pools with their counts, leases with their holders, hosts. Plain data, as the CLI prints it. */
import type { Deadline } from '../core/deadline.ts';
import type { LeaseLimits, ParentBandwidth } from '../store/schema.ts';

export interface PoolInfo {
  /** Its subnet. */
  readonly pool: string;
  /** Of operators' pools. */
  readonly name?: string;
  readonly gateway?: string;
  /** Addresses that may be given out: in the pool's ranges, without excludes, network and broadcast address. */
  readonly usable: number;
  /** Held by hosts. These three are absent where only etcd could tell and it did not answer. */
  readonly leased?: number;
  /** Held by no host: gateway and aux addresses, reservations, addresses kept for a name. */
  readonly reserved?: number;
  readonly free?: number;
  readonly hosts: readonly string[];
}

export interface LeaseInfo {
  readonly pool: string;
  readonly address: string;
  readonly state: 'pending' | 'bound' | 'warm' | 'reserved';
  readonly role?: 'gateway' | 'aux' | 'operator' | 'sticky' | 'quarantine';
  /** Whose address it is, where it belongs to a name. */
  readonly name?: string;
  readonly host: string;
  readonly endpointId?: string;
  readonly networkId?: string;
  readonly containerId?: string;
  readonly containerName?: string;
  readonly macAddress?: string;
  /** Present if the MAC is not the one that follows from the address. */
  readonly fixedMac?: string;
  /** How its limits stand, as its host has written it. */
  readonly limits?: LeaseLimits;
  /** ISO 8601. */
  readonly since: string;
}

/** Which leases a person asks for; every part that is there must fit. */
export interface LeaseFilter {
  /** Subnet or name. */
  readonly pool?: string;
  /** Held by this host. */
  readonly host?: string;
  /** Belongs to this name, or a container of this name has it. */
  readonly name?: string;
  readonly state?: LeaseInfo['state'];
}

export interface HostInfo {
  readonly host: string;
  /** A daemon holds the host's session in etcd. */
  readonly alive: boolean;
  /** ISO 8601; when it was noticed that the host holds addresses and has no daemon, if that was looked for. */
  readonly deadSince?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly version: string;
  readonly leases: number;
  readonly firstSeen: string;
  /** What it says of its parents, by name; of living hosts that have networks. */
  readonly bandwidth?: Readonly<Record<string, ParentBandwidth>>;
}

export interface Inventory {
  pools(): Promise<PoolInfo[]>;
  /** In pages, each as etcd had it when the page was read; pools may have more leases than fit into memory. */
  leases(filter: LeaseFilter): AsyncIterable<readonly LeaseInfo[]>;
  hosts(): Promise<HostInfo[]>;
  /**
   * Frees one address by hand, whatever holds it on this host.
   * @throws NotFound if there is no lease; Conflict if another host holds it, or a running container has it and
   *   `force` is not set
   */
  release(pool: string, address: string, options: { readonly force: boolean }): Promise<LeaseInfo>;
}

/** What this host knows without etcd: maybe out of date, and of leases only its own. */
export interface KnownHere {
  pools(): PoolInfo[];
  leases(filter: LeaseFilter): LeaseInfo[];
}

/** What an order about a reservation has led to. */
export interface ReservationInfo {
  readonly pool: string;
  readonly address: string;
  /** Whose the address is, or was. */
  readonly name?: string;
  /** Who has it for now, in words. */
  readonly usedBy?: string;
  /** False if it was so already. */
  readonly changed: boolean;
}

export interface Reserving {
  /** @see Reservations.reserve */
  reserve(
    pool: string | undefined,
    address: string,
    name: string,
    deadline: Deadline,
  ): Promise<ReservationInfo>;
  /** @see Reservations.unreserve */
  unreserve(pool: string | undefined, address: string, deadline: Deadline): Promise<ReservationInfo>;
}

/** What a host has in etcd. */
export interface Belongings {
  readonly leases: number;
  /** Gateway and aux addresses that its networks need. */
  readonly holds: number;
  /** Pools that its networks are on. */
  readonly uses: number;
}

export interface DeadHost extends Belongings {
  readonly host: string;
  readonly deadSince?: string;
}

/** A part of the work of forgetting a host. */
export interface ForgetProgress extends Belongings {
  readonly done: boolean;
}

export interface Forgetting {
  /** @throws NotFound for an unknown host; Conflict for one that is alive */
  survey(host: string): Promise<DeadHost>;
  /**
   * Frees what the host has, and its registration at the end, for about as long as the deadline; to be called until
   * it is done. @returns what this call has freed @throws as `survey`, also if the host comes back meanwhile
   */
  forget(host: string, deadline: Deadline): Promise<ForgetProgress>;
}

/** One decision of reconciliation, with its reason in words. */
export interface Decision {
  readonly kind: 'lease' | 'endpoint' | 'link' | 'claim' | 'network' | 'index';
  /** Address, endpoint id, link name … */
  readonly object: string;
  /**
   * adopt: a lease that etcd has lost is taken again; bind: who has it is written to the lease; repair: the host's
   * index is written again; conflict: it is in use here and etcd says that somebody else has it, which only people
   * can mend.
   */
  readonly action: 'keep' | 'free' | 'delete' | 'adopt' | 'wait' | 'bind' | 'repair' | 'conflict';
  readonly reason: string;
}

export interface ReconcileReport {
  readonly at: string;
  readonly trigger: string;
  readonly dryRun: boolean;
  /** Empty if every source answered; otherwise nothing was changed, and this says why. */
  readonly problem?: string;
  readonly decisions: readonly Decision[];
  readonly durationMs: number;
}

export interface Reconciling {
  /** Two looks, then the changes; `dryRun` only says what would be done. Runs never overlap. */
  run(trigger: string, options: { readonly dryRun: boolean }): Promise<ReconcileReport>;
  readonly last: ReconcileReport | undefined;
}
