/** Links of containers that were lost, asked of the kernel worker. Must not decide anything. */
import { type KernelWorker, NEXT } from './kernel-worker.ts';
import type { LostLinkFate, LostLinkPort, LostLinkSpec } from './lost-link-port.ts';

export class KernelLostLinks implements LostLinkPort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  lostLinkRevive(spec: LostLinkSpec): Promise<LostLinkFate> {
    return this.#worker.request('lostLinkRevive', spec, NEXT);
  }
}
