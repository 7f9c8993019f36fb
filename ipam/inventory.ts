/** What people ask: pools with their counts, leases with their holders, hosts. Plain data, as the CLI prints it. */

export interface PoolInfo {
  readonly pool: string;
  readonly gateway?: string;
  /** Addresses that may be given out (network and broadcast address do not count). */
  readonly usable: number;
  readonly leased: number;
  /** Gateway and aux addresses. */
  readonly reserved: number;
  readonly free: number;
  readonly hosts: readonly string[];
}

export interface LeaseInfo {
  readonly pool: string;
  readonly address: string;
  readonly state: 'pending' | 'bound' | 'warm' | 'reserved';
  readonly role?: 'gateway' | 'aux' | 'operator' | 'sticky';
  /** Whose address it is, where it belongs to a name. */
  readonly name?: string;
  readonly host: string;
  readonly endpointId?: string;
  readonly networkId?: string;
  readonly containerId?: string;
  readonly containerName?: string;
  readonly macAddress?: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface HostInfo {
  readonly host: string;
  /** A daemon holds the host's session in etcd. */
  readonly alive: boolean;
  readonly hostname: string;
  readonly version: string;
  readonly leases: number;
  readonly firstSeen: string;
}

export interface Inventory {
  pools(): Promise<PoolInfo[]>;
  leases(filter: { readonly pool?: string; readonly host?: string }): Promise<LeaseInfo[]>;
  hosts(): Promise<HostInfo[]>;
  /**
   * Frees one address by hand, whatever holds it on this host.
   * @throws NotFound if there is no lease; Conflict if another host holds it, or a running container has it and
   *   `force` is not set
   */
  release(pool: string, address: string, options: { readonly force: boolean }): Promise<LeaseInfo>;
}

/** One decision of reconciliation, with its reason in words. */
export interface Decision {
  readonly kind: 'lease' | 'endpoint' | 'link' | 'claim' | 'network';
  /** Address, endpoint id, link name … */
  readonly object: string;
  readonly action: 'keep' | 'free' | 'delete' | 'adopt' | 'wait';
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
