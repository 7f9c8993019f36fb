/**
 * The life of an endpoint's limits, as the network driver sees it: it joins (who is its container?), it is admitted, it leaves;
 * and in between what is wished may change. Everything else follows from here: counts, states, and what is in force.
 *
 * Must not: hold up a start, but where a host refuses what it cannot carry (`throttle.admission`).
 */
import type { Deadline } from '../core/deadline.ts';
import { InvalidRequest } from '../core/errors.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { Admission } from './admission.ts';
import { type EndpointWish, type EndpointWishes, refusalOf } from './endpoint-wish.ts';
import type { KnownContainers } from './known-containers.ts';
import { nicOf } from './nic.ts';
import { limitsOf } from './wish.ts';

export interface EndpointLimitsOptions {
  /** How long a start that may be refused waits for what its container says. */
  readonly wishTimeoutMs: number;
}

export interface EndpointLimitsDependencies {
  readonly wishes: EndpointWishes;
  /** Finds out who the container is. */
  readonly containers: Pick<KnownContainers, 'joined' | 'left'>;
  readonly admission: Pick<Admission, 'refuses' | 'admit' | 'count' | 'left'>;
  readonly networks: { get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[]; get(id: string): EndpointRecord | undefined };
  /** What is wished of this endpoint has changed: to be put in force now. */
  readonly changed: (endpointId: string) => void;
  /** All that remembers endpoints. */
  readonly forget: (endpointId: string, network: NetworkRecord | undefined) => void;
}

export class EndpointLimits {
  readonly #options: EndpointLimitsOptions;
  readonly #deps: EndpointLimitsDependencies;
  /** By endpoint: its network, and what was wished of it when it was looked at last. */
  readonly #known = new Map<string, { readonly networkId: string; readonly wished: string }>();
  /** Endpoints of which `admit` has not said yet whether they may start. */
  readonly #asking = new Set<string>();

  constructor(options: EndpointLimitsOptions, deps: EndpointLimitsDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Takes over the endpoints on record: they run, so they count. */
  start(): void {
    for (const endpoint of this.#deps.endpoints.list()) {
      if (endpoint.sandboxKey === undefined) continue;
      this.#deps.containers.joined(endpoint);
      this.wishChanged(endpoint.endpointId);
    }
  }

  /** At the beginning of Join. Returns at once, never throws. */
  joining(endpoint: EndpointRecord): void {
    this.#known.set(endpoint.endpointId, { networkId: endpoint.networkId, wished: '' });
    if (this.#deps.admission.refuses) this.#deps.containers.joined(endpoint);
  }

  /**
   * At the end of Join. Only now it is asked who the container is, unless `admit` had to know: the engine has time for the
   * question while it moves the link, and Join does not share the processor with it. Returns at once, never throws.
   */
  joined(endpoint: EndpointRecord): void {
    this.#deps.containers.joined(endpoint);
  }

  /**
   * Counts what the container asks. Where the host refuses what it cannot carry, waits for what the container says.
   * @throws BandwidthExhausted; InvalidRequest for what the container says and cannot be read
   */
  async admit(endpoint: EndpointRecord, network: NetworkRecord, deadline: Deadline): Promise<void> {
    const { wishes, admission } = this.#deps;
    const parent = nicOf(network);
    if (!admission.refuses) {
      const now = wishes.of(endpoint, network);
      this.#note(endpoint, now);
      admission.count(endpoint.endpointId, parent, limitsOf(now));
      return;
    }
    this.#asking.add(endpoint.endpointId);
    await wishes
      .wait(endpoint.endpointId, Math.min(this.#options.wishTimeoutMs, deadline.leftMs()))
      .finally(() => this.#asking.delete(endpoint.endpointId));
    const wish = wishes.of(endpoint, network);
    this.#note(endpoint, wish);
    const refusal = refusalOf(wish);
    if (refusal !== undefined) throw new InvalidRequest(refusal);
    admission.admit(endpoint.endpointId, parent, limitsOf(wish));
  }

  /** Somebody may say something else now: it counts and is put in force. For endpoints never heard of: nothing. */
  wishChanged(endpointId: string): void {
    const { endpoints, networks, wishes, admission, changed } = this.#deps;
    const endpoint = endpoints.get(endpointId);
    const network = endpoint && networks.get(endpoint.networkId);
    if (endpoint?.sandboxKey === undefined || network === undefined || this.#asking.has(endpointId)) return;
    const wish = wishes.of(endpoint, network);
    if (!this.#note(endpoint, wish)) return;
    admission.count(endpointId, nicOf(network), limitsOf(wish));
    changed(endpointId);
  }

  /** The same for all; e.g. when the defaults of a pool have changed. */
  allChanged(): void {
    for (const { endpointId } of this.#deps.endpoints.list()) this.wishChanged(endpointId);
  }

  /** The endpoint's record is gone. Idempotent; also for endpoints never heard of. */
  left(endpointId: string): void {
    const { containers, admission, networks, forget } = this.#deps;
    const networkId = this.#known.get(endpointId)?.networkId;
    this.#known.delete(endpointId);
    containers.left(endpointId);
    admission.left(endpointId);
    forget(endpointId, networkId === undefined ? undefined : networks.get(networkId));
  }

  /** Endpoints whose records went otherwise have left. */
  sweep(): void {
    for (const endpointId of [...this.#known.keys()])
      if (this.#deps.endpoints.get(endpointId) === undefined) this.left(endpointId);
  }

  /** @returns whether it is another wish than at the last look */
  #note({ endpointId, networkId }: EndpointRecord, wish: EndpointWish): boolean {
    const wished = JSON.stringify([wish.in, wish.out]);
    const before = this.#known.get(endpointId)?.wished;
    this.#known.set(endpointId, { networkId, wished });
    return wished !== before;
  }
}
