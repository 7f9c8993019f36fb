/**
 * What is wished for each endpoint, put together from memory: overrides of etcd, the endpoint's and its network's options, what
 * its container says, the defaults of its pool, the configured cap. Decides nothing itself (throttle/wish.ts).
 */
import type { Limits } from '../core/limit.ts';
import type { KeyedTexts } from '../core/limit-text.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { EndpointWish, EndpointWishes } from './endpoint-wish.ts';
import type { KnownContainers } from './known-containers.ts';
import type { Overrides } from './overrides.ts';
import { wishOf } from './wish.ts';

export interface WishesOptions {
  /** For containers that are not known yet. */
  readonly cap: Limits;
}

export interface WishesDependencies {
  readonly containers: Pick<KnownContainers, 'of' | 'wait'>;
  readonly overrides: Pick<Overrides, 'of' | 'ready'>;
  /** What the pools of a network say; from memory, undefined while they have not been read. */
  readonly pools: { readonly ready: boolean; of(network: NetworkRecord): KeyedTexts | undefined };
}

export class Wishes implements EndpointWishes {
  readonly #options: WishesOptions;
  readonly #deps: WishesDependencies;

  constructor(options: WishesOptions, deps: WishesDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  get ready(): boolean {
    const { overrides, pools } = this.#deps;
    return overrides.ready && pools.ready;
  }

  of(endpoint: EndpointRecord, network: NetworkRecord): EndpointWish {
    const { containers, overrides, pools } = this.#deps;
    const found = containers.of(endpoint.endpointId);
    const pool = pools.of(network);
    const wish = wishOf({
      endpoint: endpoint.options,
      ...(found === undefined ? {} : { container: found, override: overrides.of(found.name) }),
      ...(network.limits === undefined ? {} : { network: network.limits }),
      ...(pool === undefined ? {} : { pool }),
      cap: this.#options.cap,
      enforce: network.enforce ?? 'sandbox',
    });
    if (found === undefined) return { ...wish, known: false };
    const { containerId, name, netAdmin } = found;
    return { ...wish, known: true, container: { containerId, name, netAdmin } };
  }

  wait(endpointId: string, timeoutMs: number): Promise<unknown> {
    return this.#deps.containers.wait(endpointId, timeoutMs);
  }
}
