/** The links of this host's endpoints: made by the mode of their network, and deleted by their mark. */
import { Unsupported } from '../core/errors.ts';
import { hostEndNameOf, hostIfbNameOf, linkAliasOf, linkNameOf } from '../core/ids.ts';
import type { NetPort } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { AttachMode, NetworkMode } from './attach-mode.ts';
import type { HostAccess } from './host-access.ts';

export interface AttachmentsDependencies {
  readonly net: Pick<NetPort, 'linkGet' | 'linkDelete'>;
  readonly modes: Readonly<Partial<Record<NetworkMode, AttachMode>>>;
  /** The host's own way to its containers; absent: there is none. */
  readonly hostAccess?: Pick<HostAccess, 'attach' | 'detached' | 'onLink'>;
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
  async attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void> {
    await Promise.all([
      this.modeOf(network).attach(endpoint, network),
      this.#deps.hostAccess?.attach(endpoint, network),
    ]);
  }

  /** Addresses (`10.0.0.5/32`) outside of the endpoint's subnet that are on its link all the same. */
  onLink(endpoint: EndpointRecord, network: NetworkRecord): string[] {
    return this.#deps.hostAccess?.onLink(endpoint, network) ?? [];
  }

  /**
   * Deletes an endpoint's link if it is there and bears its mark: the name alone is 48 bits of the id, and after an
   * endpoint whose Join was refused the name may be somebody else's.
   * @returns false if there was none
   */
  async detach(endpointId: string): Promise<boolean> {
    this.#deps.hostAccess?.detached();
    // The host end of a veth pair: while the link itself is in a sandbox, only this one is here.
    const deleted =
      (await this.#delete(linkNameOf(endpointId), endpointId)) ||
      (await this.#delete(hostEndNameOf(endpointId), endpointId));
    // What the host end received was shaped there.
    await this.#delete(hostIfbNameOf(endpointId), endpointId);
    return deleted;
  }

  async #delete(name: string, endpointId: string): Promise<boolean> {
    const { net } = this.#deps;
    const link = await net.linkGet(name);
    return link?.alias === linkAliasOf(endpointId) && (await net.linkDelete(name));
  }
}
