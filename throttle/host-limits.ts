/**
 * `-o enforce=host`: limits on the host's side of a parent, out of reach of a container with NET_ADMIN. The kernel is told of
 * all endpoints behind the parent, also of other networks and of VLANs upon it, because a MAC that it does not know shares a
 * small class.
 *
 * INVARIANTS
 * - One settlement of a parent at a time; what is asked meanwhile is done in one more.
 * - A parent on which no network enforces so bears nothing of ours.
 * - As long as it is not known what people have set in etcd, what stands from before a restart stays.
 */
import { StoreUnavailable } from '../core/errors.ts';
import { shortId } from '../core/ids.ts';
import type { Direction } from '../core/limit.ts';
import type { Logger } from '../core/log.ts';
import type { HostShapedEndpoint, HostShapingPort } from '../net/shaping-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { EndpointWishes } from './endpoint-wish.ts';
import { nicOf } from './nic.ts';
import { planOf } from './token-bucket.ts';

export interface HostLimitsDependencies {
  readonly wishes: Pick<EndpointWishes, 'of' | 'ready'>;
  readonly shaping: Pick<HostShapingPort, 'settle' | 'parents'>;
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  /** What the parent can do at all, in bits a second: the shaper shares out no more than that. */
  readonly speedOf: (parent: string) => Readonly<Record<Direction, number>>;
  readonly logger: Logger;
}

interface Settling {
  readonly running: Promise<readonly string[]>;
  next?: Promise<readonly string[]>;
}

/** What is told of one endpoint, of the host itself or of those that are gone; the rest is about the whole parent. */
const ABOUT_ONE = /^(?:in|out): ([0-9a-f]+|host|others): /;

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

  /**
   * For an endpoint that has come, or is looked at: on every parent that its frames pass and that enforces.
   * @returns what was missing or different of this endpoint, or of all; nothing if its own network does not enforce so
   * @throws if its own network enforces so, as `settle`; StoreUnavailable as long as it is not known what people have set
   */
  async settleFor({ endpointId }: EndpointRecord, network: NetworkRecord): Promise<readonly string[]> {
    const own = enforcesOnHost(network);
    const parents = this.#enforcedUnder(network);
    if (parents.length === 0) return [];
    if (!this.#deps.wishes.ready) {
      // settleAll does it then.
      if (!own) return [];
      throw new StoreUnavailable(
        `the limits of parent ${network.parent} are not known yet: etcd has not answered since the daemon started: start the container again when it does`,
      );
    }
    const mended: string[] = [];
    for (const parent of parents) {
      const settled = this.settle(parent);
      // What others enforce there and cannot have is no reason against this endpoint.
      mended.push(
        ...(own ? await settled : await settled.catch((err: unknown) => this.#failed(err, parent))),
      );
    }
    const isOwn = (what: string): boolean =>
      [undefined, shortId(endpointId)].includes(ABOUT_ONE.exec(what)?.[1]);
    return own ? mended.filter(isOwn) : [];
  }

  /** Parents from which the last such network has gone, and those whose endpoints have. Never throws. */
  async settleAll(): Promise<void> {
    const { shaping, networks, wishes } = this.#deps;
    const wanted = networks.list().filter(enforcesOnHost);
    const standing = await shaping.parents().catch((err: unknown) => this.#failed(err));
    for (const parent of new Set([...standing, ...wanted.map((network) => network.parent)])) {
      if (!wishes.ready && this.#enforced(parent)) continue;
      // A parent that has gone must not keep the others from theirs.
      await this.settle(parent).catch((err: unknown) => this.#failed(err, parent));
    }
  }

  /** An endpoint behind the parent has gone. Returns at once, never throws. */
  left(network: NetworkRecord | undefined): void {
    if (network === undefined || !this.#deps.wishes.ready) return;
    for (const parent of this.#enforcedUnder(network)) {
      this.settle(parent).catch((err: unknown) =>
        this.#deps.logger.warn('the limits of an endpoint that ended could not be removed', { parent, err }),
      );
    }
  }

  /** @returns nothing was mended */
  #failed(err: unknown, parent?: string): readonly string[] {
    const where = parent === undefined ? {} : { parent };
    this.#deps.logger.warn('the limits on the side of the host could not be put in order', { ...where, err });
    return [];
  }

  /** The parents that frames of the network pass and that are shaped by the host. */
  #enforcedUnder(network: NetworkRecord): string[] {
    return parentsUnder(network).filter((parent) => this.#enforced(parent));
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
      if (network === undefined || !parentsUnder(network).includes(parent)) return [];
      const { endpointId, macAddress } = endpoint;
      // Held on its own parent, or in its sandbox.
      if (network.parent !== parent || !enforcesOnHost(network))
        return [{ endpointId, macAddress, plan: {} }];
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

/** From its own parent down to the NIC. */
function parentsUnder(network: NetworkRecord): string[] {
  const { parent, vlan } = network;
  return [...new Set([parent, ...(vlan === undefined ? [] : [vlan.lower]), nicOf(network)])];
}
