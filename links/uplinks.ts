/**
 * What the networks of this host stand on: VLAN sub-interfaces and bridges. Each is made when the first network needs
 * it, used by all that do, and removed with the last one if it is ours (by its mark); what was there before is used and
 * never removed.
 */
import type { NetworkRecord } from '../store/host-records.ts';

/** One kind of uplink. */
export interface UplinkPart {
  /**
   * Makes what the network needs, if anything. Idempotent; what stands already is taken.
   * @throws NotFound, Conflict, InvalidRequest, Unsupported, KernelError; then nothing new stands
   */
  prepare(network: NetworkRecord): Promise<void>;
  /** Removes what is ours and none of these networks needs. Idempotent. @throws KernelError */
  settle(users: readonly NetworkRecord[]): Promise<void>;
}

export interface UplinksDependencies {
  /** In the order of making; settled the other way round. */
  readonly parts: readonly UplinkPart[];
  /** All networks of this host. */
  readonly networks: { list(): readonly NetworkRecord[] };
}

export class Uplinks {
  readonly #deps: UplinksDependencies;
  /** One change at a time: a network that comes must not lose what one that goes had. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: UplinksDependencies) {
    this.#deps = deps;
  }

  /** Before the network is recorded. @throws what UplinkPart.prepare throws */
  prepare(network: NetworkRecord): Promise<void> {
    return this.#inTurn(async () => {
      for (const part of this.#deps.parts) await part.prepare(network);
    });
  }

  /** After a network has gone, or its creation failed. */
  settle(): Promise<void> {
    return this.#inTurn(async () => {
      const users = this.#deps.networks.list();
      for (const part of this.#deps.parts.toReversed()) await part.settle(users);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}
