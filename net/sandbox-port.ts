/** The inside of sandboxes, for everybody above: looks and announcements. Must not decide anything. */
import type { AnnounceSpec } from './announce.ts';
import { FIRST, type KernelWorker, NEXT } from './kernel-worker.ts';
import type { LinkInSandbox, SandboxLookSpec } from './sandbox-look.ts';

export interface SandboxPort {
  /**
   * Where an endpoint's link is in its sandbox, by its mark. A fraction of a millisecond.
   * @returns undefined if there is no such sandbox or no such link in it
   * @throws KernelError
   */
  look(spec: SandboxLookSpec): Promise<LinkInSandbox | undefined>;
  /** Sends one gratuitous ARP or unsolicited neighbour advertisement for each address. @returns false if the sandbox is gone. @throws KernelError */
  announce(spec: AnnounceSpec): Promise<boolean>;
}

export class KernelSandboxes implements SandboxPort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  look(spec: SandboxLookSpec): Promise<LinkInSandbox | undefined> {
    return this.#worker.request('sandboxLook', spec, FIRST);
  }

  announce(spec: AnnounceSpec): Promise<boolean> {
    return this.#worker.request('announce', spec, NEXT);
  }
}
