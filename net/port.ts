/**
 * The kernel's links as Lanius needs them, behind one port. The only implementation is rtnetlink in a worker
 * thread (`net/links.ts`); tests use the real kernel in a namespace of their own.
 */

export type MacvlanMode = 'bridge' | 'private' | 'vepa' | 'passthru';

export interface LinkInfo {
  readonly name: string;
  readonly linkIndex: number;
  /** `macvlan`, `vlan`, `veth`, `bridge` …; undefined for a plain device such as a physical NIC. */
  readonly kind?: string;
  /** `02:4c:0a:00:00:07`; undefined for links without an Ethernet address. */
  readonly macAddress?: string;
  readonly alias?: string;
  readonly mtuBytes: number;
  /** IFF_UP: administratively up. */
  readonly up: boolean;
  /** IFF_LOWER_UP: has carrier. */
  readonly carrier: boolean;
  /** IFLA_LINK: index of the parent, if it is in the same namespace. */
  readonly parentIndex?: number;
  /** IFLA_MASTER: index of the bridge (or bond …) that it is a port of. */
  readonly masterIndex?: number;
  /** For kind `macvlan`. */
  readonly macvlanMode?: MacvlanMode;
  /** IFLA_VLAN_ID, for kind `vlan`. */
  readonly vlanId?: number;
  /** For kind `vlan`: tagged by 802.1ad (a provider's outer tag) instead of 802.1Q. */
  readonly serviceVlan?: true;
}

export interface MacvlanSpec {
  /** 1–15 bytes, no space, `/` or `:`. */
  readonly name: string;
  /** Name of the lower link. */
  readonly parent: string;
  readonly mode: MacvlanMode;
  /** Six hex pairs with colons; a unicast address. */
  readonly macAddress: string;
  /** IFLA_IFALIAS, our mark; 1–255 bytes. */
  readonly alias: string;
  /** The parent's, if not given. */
  readonly mtuBytes?: number;
}

export interface NetPort {
  /**
   * Makes a macvlan link, down, in the daemon's own namespace. A link with the same name, mark, parent, mode and MAC
   * that stands already is taken as made (idempotent). Either the link stands with its mark or there is none, even
   * if the process is killed meanwhile.
   *
   * A MAC that another link on the parent has is NOT refused here: the kernel checks it when the link is set up
   * (EADDRINUSE), which the engine does.
   * @throws InvalidRequest for a name, MAC, alias or MTU that cannot be, and for a parent that is a macvlan itself or
   *   the loopback; NotFound if the parent does not exist; Conflict if the name is taken by another link;
   *   KernelError with errno and the kernel's text otherwise
   */
  macvlanAdd(spec: MacvlanSpec): Promise<LinkInfo>;
  /** Deletes a link of the daemon's own namespace, whoever made it: the caller checks the mark. @returns false if there was none (not an error) */
  linkDelete(name: string): Promise<boolean>;
  /** @returns undefined if there is no such link in the daemon's own namespace */
  linkGet(name: string): Promise<LinkInfo | undefined>;
  /** All links of the daemon's own namespace. */
  linkList(): Promise<LinkInfo[]>;
  /**
   * All links of another namespace; nothing is left open afterwards (an open socket pins a namespace).
   * @param namespacePath e.g. `/var/run/docker/netns/0f5c…`
   * @returns undefined if that path is no network namespace (any more)
   */
  linkListIn(namespacePath: string): Promise<LinkInfo[] | undefined>;
  /**
   * What this kernel can do, found by trying in a throw-away namespace. For `lanius doctor`. Lacking rights are part
   * of the answer, not an error.
   */
  probe(): Promise<KernelFeatures>;
}

export interface KernelFeatures {
  /** `6.1.0-…`, as uname says. */
  readonly kernelRelease: string;
  /** CAP_NET_ADMIN is effective. */
  readonly netAdmin: boolean;
  /** CAP_SYS_ADMIN is effective (namespaces can be entered). */
  readonly sysAdmin: boolean;
  /** Link kinds that could be made, e.g. `{ macvlan: true, vlan: false }`; the text says why not. */
  readonly linkKinds: Readonly<
    Record<'macvlan' | 'vlan' | 'veth' | 'bridge' | 'ipvlan' | 'ifb', true | string>
  >;
}
