/** VLAN sub-interfaces, asked of the kernel worker. Must not decide anything. */
import { FIRST, type KernelWorker, LAST } from './kernel-worker.ts';
import type { MarkedLink, VlanAdded, VlanPort, VlanSpec } from './vlan-port.ts';

export class KernelVlans implements VlanPort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  vlanAdd(spec: VlanSpec): Promise<VlanAdded> {
    return this.#worker.request('vlanAdd', spec, FIRST);
  }

  vlanDelete(marked: MarkedLink): Promise<boolean> {
    return this.#worker.request('vlanDelete', marked, LAST);
  }
}
