/** veth pairs of the kernel: asks the kernel worker. Must not decide anything about them. */
import { FIRST, type KernelWorker } from './kernel-worker.ts';
import type { LinkInfo } from './port.ts';
import type { VethPort, VethSpec } from './veth-port.ts';

export class KernelVeths implements VethPort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  vethAdd(spec: VethSpec): Promise<LinkInfo> {
    return this.#worker.request('vethAdd', spec, FIRST);
  }
}
