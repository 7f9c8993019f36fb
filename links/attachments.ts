/** The links of this host's endpoints: made by the mode of their network, and deleted by their mark. */
import { Unsupported } from '../core/errors.ts';
import { linkAliasOf, linkNameOf } from '../core/ids.ts';
import type { NetPort } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { AttachMode, NetworkMode } from './attach-mode.ts';

export interface AttachmentsDependencies {
  readonly net: Pick<NetPort, 'linkGet' | 'linkDelete'>;
  readonly modes: Readonly<Partial<Record<NetworkMode, AttachMode>>>;
}

export class Attachments {
  readonly #deps: AttachmentsDependencies;

  constructor(deps: AttachmentsDependencies) {
    this.#deps = deps;
  }

  /** @throws Unsupported for a mode that this version does not have */
  modeOf({ mode }: Pick<NetworkRecord, 'mode'>): AttachMode {
    const found = this.#deps.modes[mode];
    if (found !== undefined) return found;
    throw new Unsupported(`option mode: "${mode}" is not offered by this version: choose another`);
  }

  /** Idempotent. @throws what AttachMode.attach throws */
  attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void> {
    return this.modeOf(network).attach(endpoint, network);
  }

  /**
   * Deletes an endpoint's link if it is there and bears its mark: the name alone is 48 bits of the id, and after an
   * endpoint whose Join was refused the name may be somebody else's.
   * @returns false if there was none
   */
  async detach(endpointId: string): Promise<boolean> {
    const { net } = this.#deps;
    const name = linkNameOf(endpointId);
    const link = await net.linkGet(name);
    return link?.alias === linkAliasOf(endpointId) ? await net.linkDelete(name) : false;
  }
}
