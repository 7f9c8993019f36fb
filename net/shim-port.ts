/**
 * Shims: the host's own macvlan link on a parent, with a route to each local container, for everybody above. Must not
 * decide which containers are reached.
 *
 * A shim has no address: what the host sends through it carries an address that the host has anyway, and the kernel
 * lets only those in to whom a route leads out through it.
 * @see net/shim.ts and net/shim-routes.ts, which do it
 */
import { FIRST, type KernelWorker, LAST, NEXT } from './kernel-worker.ts';
import type {
  HostRoutesChange,
  HostRoutesFound,
  HostSources,
  ShimAdded,
  ShimSpec,
  StaticNeighbours,
} from './shim-types.ts';

export type {
  HostRoute,
  HostRoutesChange,
  HostRoutesFound,
  HostSources,
  RouteToPut,
  ShimAdded,
  ShimSpec,
  StaticNeighbours,
} from './shim-types.ts';

export interface ShimPort {
  /**
   * Makes a shim on a parent, or takes the one that stands, sets it as it must be and up. Either it stands with its mark
   * or there is none, even if the process is killed meanwhile.
   * @throws NotFound if the parent does not exist; Conflict if the name is taken; KernelError
   */
  shimAdd(spec: ShimSpec): Promise<ShimAdded>;
  /** Deletes a shim if it bears that mark, and the kernel its routes with it. @returns false if there was none */
  shimDelete(shim: { readonly name: string; readonly alias: string }): Promise<boolean>;
  /** @returns undefined if there is no such shim */
  hostRoutesFind(shim: string, towards: readonly string[]): Promise<HostRoutesFound | undefined>;
  /**
   * Idempotent. Executed before all that is asked later.
   * @returns the sources that were used; undefined if there is no such shim, or it is down
   * @throws KernelError for what could not be put, when all has been tried
   */
  hostRoutesChange(change: HostRoutesChange): Promise<HostSources | undefined>;
  /** @returns false if the sandbox or its link is gone @throws KernelError */
  staticNeighbours(neighbours: StaticNeighbours): Promise<boolean>;
}

export class KernelShims implements ShimPort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  shimAdd(spec: ShimSpec): Promise<ShimAdded> {
    return this.#worker.request('shimAdd', spec, FIRST);
  }

  shimDelete(shim: { readonly name: string; readonly alias: string }): Promise<boolean> {
    return this.#worker.request('shimDelete', shim, LAST);
  }

  hostRoutesFind(shim: string, towards: readonly string[]): Promise<HostRoutesFound | undefined> {
    return this.#worker.request('hostRoutesFind', { shim, towards }, NEXT);
  }

  hostRoutesChange(change: HostRoutesChange): Promise<HostSources | undefined> {
    return this.#worker.request('hostRoutesChange', change, FIRST);
  }

  staticNeighbours(neighbours: StaticNeighbours): Promise<boolean> {
    return this.#worker.request('staticNeighbours', neighbours, FIRST);
  }
}
