/**
 * What Lanius asks of the Docker Engine API: a few reads and the event stream, never on the way of a container
 * without a short deadline, never `GET /containers/{id}/json` (it blocks on the lock that the engine holds while
 * it waits for us). Implemented by engine/docker-engine.ts with dockerode.
 *
 * @see Docker Engine API: GET /networks, /networks/{id}, /containers/json, /info, /events
 */

export interface EngineEndpoint {
  readonly networkId: string;
  readonly endpointId: string;
  /** Absent while the container is only being started (the engine lists it as `ep-<endpoint id>`). */
  readonly containerId?: string;
  readonly containerName?: string;
  /** Bare address, without prefix length. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly macAddress?: string;
}

export interface EngineNetwork {
  readonly networkId: string;
  readonly name: string;
  /** Network driver, e.g. `lanius`, `macvlan`. */
  readonly driver: string;
  readonly ipamDriver: string;
  readonly subnets: readonly string[];
  readonly internal: boolean;
  readonly endpoints: readonly EngineEndpoint[];
}

export interface EngineContainer {
  readonly containerId: string;
  readonly name: string;
  /** `created`, `running`, `paused`, `restarting`, `exited`, `dead`, `removing`. */
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly endpoints: readonly EngineEndpoint[];
}

export interface EngineEvents {
  /** The stream is open: the engine serves its API. Called again after each return. */
  onConnected(): void;
  /** The stream broke: the engine is stopping, restarting or dead. */
  onDisconnected(error: unknown): void;
  /** `network connect`, `network disconnect`, `container start`, `container die` … */
  onEvent(event: { readonly type: string; readonly action: string; readonly id: string }): void;
}

export interface EnginePort {
  /** @throws EngineUnavailable after `timeoutMs` at the latest */
  version(timeoutMs: number): Promise<{ readonly version: string; readonly apiVersion: string }>;
  /** Networks whose driver or IPAM driver is ours, each with its endpoints. @throws EngineUnavailable */
  networks(timeoutMs: number): Promise<EngineNetwork[]>;
  /** @returns undefined if the engine knows no such network @throws EngineUnavailable */
  network(networkId: string, timeoutMs: number): Promise<EngineNetwork | undefined>;
  /** All containers, also stopped ones. @throws EngineUnavailable */
  containers(timeoutMs: number): Promise<EngineContainer[]>;
  /**
   * Which of these names belong to a container, also to one that is only being started: takes no container's lock.
   * @returns by name, without those that nobody has @throws EngineUnavailable
   */
  containerIds(names: readonly string[], timeoutMs: number): Promise<ReadonlyMap<string, string>>;
  /** The absolute folder of the engine's own data, e.g. `/var/lib/docker`. @throws EngineUnavailable */
  dataRoot(timeoutMs: number): Promise<string>;
  /** Follows the engine for ever, connecting again after each break. */
  follow(events: EngineEvents): { close(): void };
}
