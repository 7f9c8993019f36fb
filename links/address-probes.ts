/**
 * `-o probe=arp`: whether a stranger on the segment uses an address that a container is about to get. Networks without the
 * option cost a look into memory.
 */

import { shortId } from '../core/ids.ts';
import { formatIp, type IpAddress } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { AddressProbePort } from '../net/address-probe.ts';
import type { NetworkRecord } from '../store/host-records.ts';

export interface AddressProbesDependencies {
  readonly networks: { get(id: string): NetworkRecord | undefined };
  readonly probe: AddressProbePort;
  readonly logger: Logger;
}

export class AddressProbes {
  readonly #deps: AddressProbesDependencies;

  constructor(deps: AddressProbesDependencies) {
    this.#deps = deps;
  }

  /** Whether the network wants it; IPv6 does it itself (duplicate address detection of the container's kernel). */
  wanted(networkId: string | undefined, { family }: IpAddress): boolean {
    if (networkId === undefined || family !== 4) return false;
    return this.#deps.networks.get(networkId)?.probe === 'arp';
  }

  /**
   * Where the question cannot be asked (the parent is gone or down) nobody on the segment can be disturbed either: it is
   * told in the log, and the address is used. Never throws.
   * @returns the MAC of who uses it
   */
  async stranger(networkId: string, address: IpAddress): Promise<string | undefined> {
    const { networks, probe, logger } = this.#deps;
    const parent = networks.get(networkId)?.parent;
    if (parent === undefined) return undefined;
    const told = { network: shortId(networkId), parent, address: formatIp(address) };
    try {
      const macAddress = await probe.ask(parent, address);
      if (macAddress !== undefined)
        logger.error('a machine outside of Lanius uses an address that a container was to get', {
          ...told,
          macAddress,
        });
      return macAddress;
    } catch (err) {
      logger.warn('an address could not be asked for on the wire and is used unasked', { ...told, err });
      return undefined;
    }
  }
}
