/**
 * VLAN sub-interfaces (802.1Q) of the daemon's own namespace, for everybody above. Must not decide who needs one.
 *
 * @see net/vlan.ts, which does it
 */
import type { LinkInfo } from './port.ts';

export interface VlanSpec {
  /** 1–15 bytes. */
  readonly name: string;
  /** Name of the link whose frames are tagged. */
  readonly lower: string;
  /** 1–4094. */
  readonly vlanId: number;
  /** IFLA_IFALIAS. */
  readonly alias: string;
}

export interface VlanAdded {
  readonly link: LinkInfo;
  /** By this call. */
  readonly made: boolean;
}

export interface MarkedLink {
  readonly name: string;
  readonly alias: string;
}

export interface VlanPort {
  /**
   * Makes an 802.1Q sub-interface in the daemon's own namespace, marked, with MTU and MAC of the lower link, and sets
   * it up; while the lower link is down it stays down, and the kernel sets it up with it. A link of that name that is
   * this VLAN already is taken as it is (idempotent), and set up only if it bears the mark. Either the link stands with
   * its mark or there is none, even if the process is killed meanwhile.
   * @throws NotFound if the lower link does not exist; Conflict if the name is taken by another link, or the VLAN has a
   *   sub-interface of another name; Unsupported if the kernel has no 802.1Q or the lower link cannot carry VLANs;
   *   KernelError otherwise
   */
  vlanAdd(spec: VlanSpec): Promise<VlanAdded>;
  /**
   * Deletes a sub-interface if it bears that mark, and the kernel with it all that stands on it.
   * @returns false if there was none
   */
  vlanDelete(marked: MarkedLink): Promise<boolean>;
}

/** Is `found` the 802.1Q sub-interface of that id on that link? */
export function isVlanOf(found: LinkInfo, lower: LinkInfo, vlanId: number): boolean {
  const { kind, parentIndex, serviceVlan } = found;
  const right = kind === 'vlan' && found.vlanId === vlanId && serviceVlan === undefined;
  return right && parentIndex === lower.linkIndex;
}
