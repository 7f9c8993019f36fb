/** `mode=macvlan`: a macvlan link on the parent. */
import { linkAliasOf } from '../core/ids.ts';
import type { NetPort } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { AttachMode } from './attach-mode.ts';

export class MacvlanMode implements AttachMode {
  readonly ownMac = true;
  readonly #net: Pick<NetPort, 'macvlanAdd'>;

  constructor({ net }: { readonly net: Pick<NetPort, 'macvlanAdd'> }) {
    this.#net = net;
  }

  async attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void> {
    await this.#net.macvlanAdd({
      name: endpoint.linkName,
      parent: network.parent,
      mode: network.macvlanMode,
      macAddress: endpoint.macAddress,
      alias: linkAliasOf(endpoint.endpointId),
      ...(network.mtuBytes === undefined ? {} : { mtuBytes: network.mtuBytes }),
    });
  }
}
