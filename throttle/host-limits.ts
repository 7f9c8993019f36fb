/**
 * `-o enforce=host`: limits on the host's side of a parent, out of reach of a container with NET_ADMIN. The kernel is told of
 * all endpoints behind the parent, also of other networks, because a MAC that it does not know shares a small class.
 *
 * INVARIANTS: one settlement of a parent at a time, what is asked meanwhile is done in one more; a parent on which no network
 * enforces so bears nothing of ours.
 */
import type { Logger } from '../core/log.ts';
import type { HostShapedEndpoint, HostShapingPort } from '../net/shaping-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { EndpointWishes } from './endpoint-wish.ts';
import { planOf } from './limit-setting.ts';

export interface HostLimitsDependencies {
  readonly wishes: Pick<EndpointWishes, 'of' | 'ready'>;
  readonly shaping: Pick<HostShapingPort, 'settle' | 'parents'>;
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  /** Of the parent itself, in bits a second. */
  readonly speedOf: (parent: string) => number;
  readonly logger: Logger;
}

interface Settling {
  readonly running: Promise<readonly string[]>;
  next?: Promise<readonly string[]>;
}

/** Of links that say nothing; the token buckets are computed for it. */
const USUAL_MTU_BYTES = 1500;

export class HostLimits {
  readonly #deps: HostLimitsDependencies;
  readonly #settling = new Map<string, Settling>();

  constructor(deps: HostLimitsDependencies) {
    this.#deps = deps;
  }

  /** Idempotent. @returns what was missing or different @throws KernelError, Conflict, NotFound, Unsupported */
  settle(parent: string): Promise<readonly string[]> {
    const under = this.#settling.get(parent);
    if (under !== undefined) {
      under.next ??= under.running.then(
        () => this.settle(parent),
        () => this.settle(parent),
      );
      return under.next;
    }
    const running = this.#settle(parent).finally(() => this.#settling.delete(parent));
    this.#settling.set(parent, { running });
    return running;
  }

  /** Parents from which the last such network has gone, and those whose endpoints have. Never throws. */
  async settleAll(): Promise<void> {
    const { shaping, networks, wishes, logger } = this.#deps;
    const wanted = networks.list().filter(enforcesOnHost);
    try {
      const parents = new Set([...(await shaping.parents()), ...wanted.map(({ parent }) => parent)]);
      // Before it is known what people have set in etcd, what is wanted stays as it stands.
      for (const parent of parents) if (wishes.ready || !this.#enforced(parent)) await this.settle(parent);
    } catch (err) {
      logger.warn('the limits on the side of the host could not be put in order', { err });
    }
  }

  /** An endpoint behind the parent has gone. Returns at once, never throws. */
  left(network: NetworkRecord | undefined): void {
    if (network === undefined || !this.#enforced(network.parent)) return;
    this.settle(network.parent).catch((err: unknown) =>
      this.#deps.logger.warn('the limits of an endpoint that ended could not be removed', {
        parent: network.parent,
        err,
      }),
    );
  }

  /** The parent is shaped by the host. */
  #enforced(parent: string): boolean {
    return this.#deps.networks.list().some((network) => network.parent === parent && enforcesOnHost(network));
  }

  async #settle(parent: string): Promise<readonly string[]> {
    const { shaping, speedOf } = this.#deps;
    const endpoints = this.#enforced(parent) ? this.#endpointsOn(parent) : [];
    return await shaping.settle(parent, endpoints, speedOf(parent));
  }

  #endpointsOn(parent: string): HostShapedEndpoint[] {
    const { endpoints, networks, wishes } = this.#deps;
    return endpoints.list().flatMap((endpoint): HostShapedEndpoint[] => {
      const network = networks.get(endpoint.networkId);
      if (network?.parent !== parent) return [];
      const { endpointId, macAddress } = endpoint;
      if (!enforcesOnHost(network)) return [{ endpointId, macAddress, plan: {} }];
      const wish = wishes.of(endpoint, network);
      const minIn = wish.in.limit?.minBitsPerSecond;
      const minOut = wish.out.limit?.minBitsPerSecond;
      return [
        {
          endpointId,
          macAddress,
          plan: planOf(wish, network.mtuBytes ?? USUAL_MTU_BYTES),
          ...(minIn === undefined ? {} : { minInBitsPerSecond: minIn }),
          ...(minOut === undefined ? {} : { minOutBitsPerSecond: minOut }),
        },
      ];
    });
  }
}

function enforcesOnHost(network: NetworkRecord): boolean {
  return network.enforce === 'host';
}
