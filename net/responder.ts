/**
 * The ARP responder, for everybody above: a program in the kernel that answers a container's ARP requests for planned
 * addresses with MAC = f(IP), so that none leaves. Must not decide what is planned, nor who gets it.
 *
 * INVARIANTS
 * - A filter that is attached works without the daemon. What changes with the cluster (fixed MACs, excluded addresses) are
 *   the runs of the plan: one call for each network, however many containers it has.
 * - `settle` with the networks of this host leaves nothing behind of others.
 *
 * @see docs/arp-responder.md, net/bpf/responder.bpf.c
 */
import { DriverError } from '../core/errors.ts';
import { FIRST, type KernelWorker, NEXT } from './kernel-worker.ts';
import type { NeighbourPlan } from './neighbour-plan.ts';
import type { PlannedNetwork, ResponderStanding, ResponderTarget } from './responder-operations.ts';

export type { ResponderStanding, ResponderTarget } from './responder-operations.ts';

/** Where program and maps are pinned, below a BPF file system. */
export const PIN_FOLDER = '/sys/fs/bpf/lanius';

export interface ResponderNetwork {
  readonly networkId: string;
  /** What is answered: the planned addresses without gateway, excluded ones and the like. Runs of IPv6 are left out. */
  readonly plan: NeighbourPlan;
}

/** Leased addresses of one network, IPv4 as numbers. */
export interface LeasedAddresses {
  readonly networkId: string;
  readonly addresses: Iterable<number>;
  /** How long it may be relied on without another word; then all planned addresses are answered. 0: from now on. */
  readonly validForMs: number;
}

export interface LeasedChanges {
  readonly networkId: string;
  readonly added?: Iterable<number>;
  readonly removed?: Iterable<number>;
  readonly validForMs: number;
}

export interface ResponderPort {
  /** Can this kernel do it, and may the daemon? Found by trying; true is remembered. @returns true, or why not */
  supported(): Promise<true | string>;
  /**
   * Puts the responder in force on a link, with the network's plan. Idempotent: writes only what is missing, and puts itself
   * in the place of a filter of another version without a gap.
   * @returns whether the filter was written; false also if sandbox or link are gone
   * @throws Conflict if the link has a qdisc `ingress`; KernelError
   */
  attach(target: ResponderTarget, network: ResponderNetwork): Promise<boolean>;
  /** Is it in force there, as this daemon would attach it? */
  attached(target: ResponderTarget, networkId: string): Promise<boolean>;
  /** Idempotent. @returns false if there was none */
  detach(target: ResponderTarget): Promise<boolean>;
  /** For all containers of the network at once. Idempotent. @returns whether something changed. @throws KernelError */
  plan(network: ResponderNetwork): Promise<boolean>;
  /**
   * From now on requests for planned addresses that are not among these get no answer, and do not leave either.
   * @throws KernelError
   */
  setLeased(leased: LeasedAddresses): Promise<void>;
  /** The same as a difference; with neither added nor removed it says that the list is still valid. */
  changeLeased(changes: LeasedChanges): Promise<void>;
  /** Forgets all networks but these, and takes everything away if none is left. Idempotent. @returns the forgotten ones */
  settle(networkIds: readonly string[]): Promise<string[]>;
  /** What stands in the kernel, for doctor. Makes nothing. */
  standing(): Promise<ResponderStanding>;
}

export interface KernelResponderOptions {
  /** Default PIN_FOLDER. */
  readonly pinFolder?: string;
}

export class KernelResponder implements ResponderPort {
  readonly #worker: KernelWorker;
  readonly #folder: string;
  #supported = false;

  constructor(worker: KernelWorker, { pinFolder = PIN_FOLDER }: KernelResponderOptions = {}) {
    this.#worker = worker;
    this.#folder = pinFolder;
  }

  async supported(): Promise<true | string> {
    if (this.#supported) return true;
    try {
      this.#supported = await this.#worker.request('responderTry', undefined, NEXT);
      return true;
    } catch (error) {
      if (error instanceof DriverError && error.code !== 'internal') return error.message;
      throw error;
    }
  }

  attach(target: ResponderTarget, network: ResponderNetwork): Promise<boolean> {
    const argument = { folder: this.#folder, target, network: plannedOf(network) };
    return this.#worker.request('responderAttach', argument, FIRST);
  }

  attached(target: ResponderTarget, networkId: string): Promise<boolean> {
    return this.#worker.request('responderAttached', { folder: this.#folder, target, networkId }, NEXT);
  }

  detach(target: ResponderTarget): Promise<boolean> {
    return this.#worker.request('responderDetach', target, NEXT);
  }

  plan(network: ResponderNetwork): Promise<boolean> {
    return this.#worker.request('responderPlan', { folder: this.#folder, ...plannedOf(network) }, NEXT);
  }

  setLeased({ networkId, addresses, validForMs }: LeasedAddresses): Promise<void> {
    return this.#lease({ networkId, added: addresses, validForMs }, true);
  }

  changeLeased(changes: LeasedChanges): Promise<void> {
    return this.#lease(changes, false);
  }

  settle(networkIds: readonly string[]): Promise<string[]> {
    return this.#worker.request('responderSettle', { folder: this.#folder, networkIds }, NEXT);
  }

  standing(): Promise<ResponderStanding> {
    return this.#worker.request('responderStanding', { folder: this.#folder }, NEXT);
  }

  async #lease({ networkId, added, removed, validForMs }: LeasedChanges, anew: boolean): Promise<void> {
    await this.#worker.request(
      'responderLeased',
      {
        folder: this.#folder,
        networkId,
        added: Uint32Array.from(added ?? []),
        removed: Uint32Array.from(removed ?? []),
        anew,
        validForMs,
      },
      NEXT,
    );
  }
}

function plannedOf({ networkId, plan }: ResponderNetwork): PlannedNetwork {
  return { networkId, runs: plan.runs.filter(({ family }) => family === 4) };
}
