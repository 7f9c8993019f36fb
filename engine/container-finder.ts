/**
 * Which container an endpoint belongs to, and what its configuration says: asked while the container starts, so by the
 * Engine API only where that takes no lock, with a short deadline, and then from the container's configuration on disk.
 *
 * @see moby: GET /networks/{id} lists an endpoint under `ep-<id>` with the container's name until the container runs
 */

export interface FoundContainer {
  readonly containerId: string;
  readonly name: string;
  /** `KEY` to value; the last of equal keys wins. */
  readonly env: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** Privileged, or with the capability NET_ADMIN (or ALL) added. */
  readonly netAdmin: boolean;
}

export interface ContainerFinder {
  /**
   * Questions about endpoints of one network that come together are one question to the engine.
   * @returns undefined if the engine does not say in time, or does not serve its API, or the file is not there. Never throws.
   */
  find(networkId: string, endpointId: string, timeoutMs: number): Promise<FoundContainer | undefined>;
}
