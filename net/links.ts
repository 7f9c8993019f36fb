/**
 * The links of the kernel, for everybody above. Must not decide anything about links.
 *
 * INVARIANT: deletions wait for everything else, because each blocks in the kernel for tens of milliseconds
 * (synchronize_rcu) and a starting container must not queue behind those that end; what is asked of a name that is
 * being deleted keeps the order of the calls.
 */
import { FIRST, type KernelWorker, LAST } from './kernel-worker.ts';
import type { KernelFeatures, LinkInfo, MacvlanSpec, NetPort } from './port.ts';

export class KernelLinks implements NetPort {
  readonly #worker: KernelWorker;
  /** Names whose deletion waits or is under way, and how often. */
  readonly #deleting = new Map<string, number>();

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  macvlanAdd(spec: MacvlanSpec): Promise<LinkInfo> {
    return this.#worker.request('macvlanAdd', spec, this.#priorityOf(spec.name));
  }

  async linkDelete(name: string): Promise<boolean> {
    this.#deleting.set(name, (this.#deleting.get(name) ?? 0) + 1);
    try {
      return await this.#worker.request('linkDelete', name, LAST);
    } finally {
      const left = (this.#deleting.get(name) ?? 1) - 1;
      if (left > 0) this.#deleting.set(name, left);
      else this.#deleting.delete(name);
    }
  }

  linkGet(name: string): Promise<LinkInfo | undefined> {
    return this.#worker.request('linkGet', name, this.#priorityOf(name));
  }

  linkList(): Promise<LinkInfo[]> {
    return this.#worker.request('linkList', undefined);
  }

  linkListIn(namespacePath: string): Promise<LinkInfo[] | undefined> {
    return this.#worker.request('linkListIn', namespacePath);
  }

  probe(): Promise<KernelFeatures> {
    return this.#worker.request('probe', undefined);
  }

  #priorityOf(name: string): number {
    return this.#deleting.has(name) ? LAST : FIRST;
  }
}
