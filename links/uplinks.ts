/**
 * What the networks of this host stand on: VLAN sub-interfaces and bridges. Each is made when the first network needs
 * it, used by all that do, and removed with the last one if it is ours (by its mark); what was there before is used and
 * never removed.
 *
 * INVARIANTS
 * - One change at a time; a network that is being created counts as a user from before its first link until it is
 *   recorded or has failed.
 * - Nothing is removed while the engine does not answer, or has a network of ours that is not in the records: what it
 *   stands on is not known then, and its containers would lose their links.
 */
import { type DriverError, toDriverError } from '../core/errors.ts';
import { shortId } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
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
  /** Ids of the networks of our driver that the engine has; absent: all are in the records. */
  readonly engineNetworks?: () => Promise<readonly string[]>;
  readonly logger: Logger;
}

export class Uplinks {
  readonly #deps: UplinksDependencies;
  /** Networks that are being created. */
  readonly #coming = new Map<string, NetworkRecord>();
  /** Ids that the engine may still show, though they are gone. */
  readonly #gone = new Set<string>();
  readonly #problems = new Map<string, DriverError>();
  /** One change at a time: a network that comes must not lose what one that goes had. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: UplinksDependencies) {
    this.#deps = deps;
  }

  /** What keeps networks of this host from what they stand on, by network id. */
  get problems(): ReadonlyMap<string, DriverError> {
    return this.#problems;
  }

  /**
   * Makes what a new network stands on, then does the rest of its creation, which records it. If that fails, what
   * nobody else needs is removed again.
   * @throws what UplinkPart.prepare throws; what `create` throws
   */
  async under<T>(network: NetworkRecord, create: () => Promise<T>): Promise<T> {
    const { networkId } = network;
    this.#coming.set(networkId, network);
    try {
      await this.#inTurn(() => this.#prepare(network));
      const result = await create();
      this.#gone.delete(networkId);
      this.#coming.delete(networkId);
      return result;
    } catch (error) {
      this.#coming.delete(networkId);
      // Not waited for: it asks the engine, which waits for this answer.
      void this.left(networkId);
      throw error;
    }
  }

  /** After a network has gone: removes what nobody needs any more. Never throws. */
  async left(networkId: string): Promise<void> {
    this.#gone.add(networkId);
    this.#problems.delete(networkId);
    await this.settle().catch((err: unknown) => {
      this.#deps.logger.error('an uplink that no network needs could not be removed; it is tried again', {
        networkId,
        err,
      });
    });
  }

  /**
   * Makes again what the networks of this host stand on, where it is missing: after a boot, or when a link that
   * vanished has returned. What cannot be made is logged once, and kept in `problems`. Never throws.
   */
  restore(): Promise<void> {
    return this.#inTurn(async () => {
      for (const network of inOrder(this.#deps.networks.list())) {
        await this.#prepare(network).catch((err: unknown) => this.#note(network, toDriverError(err)));
      }
    });
  }

  /** Removes what is ours and no network needs. @throws KernelError, EngineUnavailable */
  async settle(): Promise<void> {
    // Not in turn: an engine that does not answer must not hold up a network that is being created.
    const shown = await this.#deps.engineNetworks?.();
    await this.#inTurn(() => this.#settle(shown ?? []));
  }

  async #prepare(network: NetworkRecord): Promise<void> {
    for (const part of this.#deps.parts) await part.prepare(network);
    if (!this.#problems.delete(network.networkId)) return;
    const { networkId, parent } = network;
    this.#deps.logger.info('what a network stands on is there again', { networkId, parent });
  }

  async #settle(shown: readonly string[]): Promise<void> {
    const stranger = this.#strangerIn(shown);
    if (stranger !== undefined) {
      this.#deps.logger.debug('uplinks are kept: a network of the engine is not in the records', {
        networkId: stranger,
      });
      return;
    }
    const users = [...this.#deps.networks.list(), ...this.#coming.values()];
    const failures: unknown[] = [];
    // What one of them cannot remove must not keep what the others can.
    for (const part of this.#deps.parts.toReversed())
      await part.settle(users).catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }

  #strangerIn(shown: readonly string[]): string | undefined {
    const recorded = this.#deps.networks.list().map(({ networkId }) => networkId);
    const known = new Set([...recorded, ...this.#coming.keys()]);
    for (const networkId of this.#gone) if (!shown.includes(networkId)) this.#gone.delete(networkId);
    return shown.find((networkId) => !known.has(networkId) && !this.#gone.has(networkId));
  }

  #note({ networkId, parent }: NetworkRecord, err: DriverError): void {
    const before = this.#problems.get(networkId);
    this.#problems.set(networkId, err);
    if (before?.message === err.message) return;
    this.#deps.logger.error('what a network stands on is not there, and cannot be made', {
      networkId: shortId(networkId),
      parent,
      err,
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** A sub-interface may be what another one stands on. */
function inOrder(networks: readonly NetworkRecord[]): readonly NetworkRecord[] {
  const depth = (network: NetworkRecord | undefined, left = 4): number => {
    const lower = network?.vlan?.lower;
    if (lower === undefined || left === 0) return 0;
    return (
      1 +
      depth(
        networks.find(({ parent }) => parent === lower),
        left - 1,
      )
    );
  };
  return networks.toSorted((a, b) => depth(a) - depth(b));
}
