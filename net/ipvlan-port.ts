/**
 * ipvlan links of the daemon's own namespace, for everybody above. Must not decide who gets one.
 *
 * @see net/ipvlan.ts, which does it
 */

import type { IpvlanSpec } from './ipvlan.ts';
import { FIRST, type KernelWorker, LAST } from './kernel-worker.ts';
import type { LinkInfo } from './port.ts';

export type { IpvlanSpec } from './ipvlan.ts';

export interface IpvlanPort {
  /**
   * Makes an ipvlan link of mode l2, down, in the daemon's own namespace. A link with the same name, mark and parent
   * that stands already is taken as made (idempotent). Either the link stands with its mark or there is none, even if
   * the process is killed meanwhile.
   * @throws NotFound if the parent does not exist; Conflict if the name is taken, or the parent is used in a way that
   *   excludes ipvlan; Unsupported if the kernel has none; KernelError otherwise
   */
  ipvlanAdd(spec: IpvlanSpec): Promise<LinkInfo>;
  /**
   * Whether ipvlan links can be made on a parent, by making one and deleting it in one system call. Takes some 20 ms.
   * @throws as `ipvlanAdd`
   */
  ipvlanTry(parent: string): Promise<void>;
}

export class KernelIpvlans implements IpvlanPort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  ipvlanAdd(spec: IpvlanSpec): Promise<LinkInfo> {
    return this.#worker.request('ipvlanAdd', spec, FIRST);
  }

  async ipvlanTry(parent: string): Promise<void> {
    await this.#worker.request('ipvlanTry', parent, LAST);
  }
}
