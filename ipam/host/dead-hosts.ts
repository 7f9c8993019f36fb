/**
 * Which hosts are dead, by what etcd shows at one moment. Pure; ipam/host/host-sweeper.ts looks and acts.
 *
 * No clock of any machine is read: a host is dead while it has no session (a TTL key), and its grace period is a TTL key,
 * too. Both marks were put in one transaction, so a mark without its grace period means that etcd let it pass.
 */

/** Of one revision of etcd. */
export interface HostsLook {
  /** Registered hosts. */
  readonly hosts: readonly string[];
  /** With a session. */
  readonly alive: ReadonlySet<string>;
  /** With leases, or networks on a pool. */
  readonly holding: ReadonlySet<string>;
  /** Marked as dead. */
  readonly marked: readonly string[];
  /** Whose grace period is not over. */
  readonly waiting: ReadonlySet<string>;
}

export interface HostsVerdict {
  /** To be marked, and their grace period begun. */
  readonly notice: readonly string[];
  /** To be freed. */
  readonly forget: readonly string[];
  /** Whose mark is void. */
  readonly clear: readonly string[];
}

export function judgeHosts({ hosts, alive, holding, marked, waiting }: HostsLook): HostsVerdict {
  const isDead = (host: string): boolean => !alive.has(host) && holding.has(host);
  return {
    notice: hosts.filter((host) => isDead(host) && !marked.includes(host)),
    forget: marked.filter((host) => isDead(host) && !waiting.has(host)),
    clear: marked.filter((host) => !isDead(host)),
  };
}
