/**
 * How the link of a container comes into being, one implementation for each `-o mode=`. What they share: the link that
 * the engine moves into the sandbox is `endpoint.linkName`, in the host's namespace, down, with the endpoint's MAC (if
 * the mode has one of its own) and the endpoint's mark (core/ids.ts linkAliasOf).
 */
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export type NetworkMode = NetworkRecord['mode'];

export interface AttachMode {
  /** False: the link has the MAC of its parent, and CreateEndpoint must not answer one. */
  readonly ownMac: boolean;
  /**
   * Makes the link, with all that stands in the host's namespace for it. Idempotent: what stands already is taken.
   * Either all of it stands, marked, or what does is found by its mark.
   * @throws NotFound (parent), Conflict (name taken), InvalidRequest, KernelError
   */
  attach(endpoint: EndpointRecord, network: NetworkRecord): Promise<void>;
}
