/** Which link the frames of a network leave the host by. */
import type { NetworkRecord } from '../store/host-records.ts';

/** The link whose capacity a network takes from: VLANs share that of the link that they are on, however many stand between. */
export function nicOf({ nic, vlan, parent }: Pick<NetworkRecord, 'nic' | 'vlan' | 'parent'>): string {
  return nic ?? vlan?.lower ?? parent;
}
