/**
 * Which container an endpoint belongs to, asked of a real engine while the container starts: the network says the name
 * (`ep-<endpoint id>`), the list of containers the id, the container's files on disk the rest. None of it takes the lock that
 * the engine holds meanwhile.
 *
 * INVARIANTS
 * - All of it within the caller's one limit, however many steps it takes.
 * - While the engine does not serve its API (it starts, it is away) the answer is undefined at once: a question put from
 *   inside of a plugin call would hang until that call is answered.
 * - Endpoints of one network that join together are one question, and so are all names.
 *
 * @see Docker Engine API: NetworkInspect, ContainerList, SystemInfo; engine/container-files.ts
 */
import type { Clock } from '../core/clock.ts';
import { type Deadline, deadlineAfter, within } from '../core/deadline.ts';
import { shortId } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import { readContainer } from './container-files.ts';
import type { ContainerFinder, FoundContainer } from './container-finder.ts';
import type { EngineEndpoint, EnginePort } from './port.ts';
import { SharedQuestion } from './shared-question.ts';

const DEFAULT_DATA_ROOT = '/var/lib/docker';
/** The engine counts images and the like for that answer. */
const INFO_TIMEOUT_MS = 10_000;
/** The names that containers can have; another one would be an expression. @see moby daemon/names */
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export interface DockerContainerFinderDependencies {
  readonly engine: Pick<EnginePort, 'network' | 'containerIds' | 'dataRoot'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

type ByEndpoint = ReadonlyMap<string, EngineEndpoint>;

export class DockerContainerFinder implements ContainerFinder {
  readonly #deps: DockerContainerFinderDependencies;
  readonly #networks = new Map<string, SharedQuestion<string, ByEndpoint>>();
  readonly #names: SharedQuestion<string, ReadonlyMap<string, string>>;
  #connected = false;
  #dataRoot = DEFAULT_DATA_ROOT;

  constructor(deps: DockerContainerFinderDependencies) {
    this.#deps = deps;
    this.#names = new SharedQuestion((names, timeoutMs) => deps.engine.containerIds(names, timeoutMs));
  }

  /** Whether the engine serves its API, as the stream of its events tells. Asks it once where its data is. */
  connected(yes: boolean): void {
    this.#connected = yes;
    if (yes) void this.#askDataRoot();
  }

  async find(networkId: string, endpointId: string, timeoutMs: number): Promise<FoundContainer | undefined> {
    if (!this.#connected) return undefined;
    const { clock, logger } = this.#deps;
    const deadline = deadlineAfter(timeoutMs, clock);
    try {
      const work = this.#find(networkId, endpointId, deadline);
      return await within(work, deadline, `asking whose endpoint ${shortId(endpointId)} is`);
    } catch (err) {
      logger.debug('whose endpoint it is was not found', { endpointId, networkId, err });
      return undefined;
    }
  }

  async #find(
    networkId: string,
    endpointId: string,
    deadline: Deadline,
  ): Promise<FoundContainer | undefined> {
    const endpoint = (await this.#endpointsOf(networkId, endpointId, deadline)).get(endpointId);
    if (endpoint === undefined) return undefined;
    const containerId = endpoint.containerId ?? (await this.#idOf(endpoint.containerName ?? '', deadline));
    return containerId === undefined ? undefined : await readContainer(this.#dataRoot, containerId);
  }

  async #endpointsOf(networkId: string, endpointId: string, deadline: Deadline): Promise<ByEndpoint> {
    const question = this.#networks.get(networkId) ?? this.#newQuestion(networkId);
    try {
      return await question.ask(endpointId, deadline);
    } finally {
      if (question.idle && this.#networks.get(networkId) === question) this.#networks.delete(networkId);
    }
  }

  #newQuestion(networkId: string): SharedQuestion<string, ByEndpoint> {
    const question = new SharedQuestion<string, ByEndpoint>(async (_, timeoutMs) => {
      const network = await this.#deps.engine.network(networkId, timeoutMs);
      return new Map(network?.endpoints.map((endpoint) => [endpoint.endpointId, endpoint]));
    });
    this.#networks.set(networkId, question);
    return question;
  }

  async #idOf(name: string, deadline: Deadline): Promise<string | undefined> {
    if (!CONTAINER_NAME.test(name)) return undefined;
    return (await this.#names.ask(name, deadline)).get(name);
  }

  /** An engine that came back may have been set up anew, so it is asked at each return. */
  async #askDataRoot(): Promise<void> {
    try {
      this.#dataRoot = await this.#deps.engine.dataRoot(INFO_TIMEOUT_MS);
    } catch (err) {
      this.#deps.logger.warn('the engine does not say where its data is', { assumed: this.#dataRoot, err });
    }
  }
}
