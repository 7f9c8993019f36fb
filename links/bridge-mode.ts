/**
 * `mode=bridge`: a veth pair, one end for the container, the other a port of the network's bridge, which
 * links/bridge-uplink.ts has made.
 */
import { bridgeNameOf, hostEndNameOf, linkAliasOf } from '../core/ids.ts';
import type { VethPort } from '../net/veth-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { AttachMode } from './attach-mode.ts';

export class BridgeMode implements AttachMode {
  readonly ownMac = true;
  readonly #veths: VethPort;

  constructor({ veths }: { readonly veths: VethPort }) {
    this.#veths = veths;
  }

  async attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void> {
    await this.#veths.vethAdd({
      name: endpoint.linkName,
      hostEnd: hostEndNameOf(endpoint.endpointId),
      macAddress: endpoint.macAddress,
      alias: linkAliasOf(endpoint.endpointId),
      bridge: bridgeOf(network),
      ...(network.mtuBytes === undefined ? {} : { mtuBytes: network.mtuBytes }),
    });
  }
}

/** The bridge of a network of mode `bridge`. */
export function bridgeOf({ bridge, parent }: Pick<NetworkRecord, 'bridge' | 'parent'>): string {
  return bridge ?? bridgeNameOf(parent);
}
