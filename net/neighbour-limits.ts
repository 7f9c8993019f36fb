/**
 * How many neighbours the kernel keeps (gc_thresh1..3): one pool for the whole host with all its sandboxes. PERMANENT
 * entries (arp=preload) do not count, learned ones do: above the limit no new one is taken, and the packet is lost
 * (ENOBUFS). By netlink, because systemd hides /proc/sys from the daemon. Must not lower what an operator has set.
 *
 * @see arp(7) gc_thresh1, Linux net/core/neighbour.c neigh_alloc
 */
import { KernelError } from '../core/errors.ts';
import type { KernelWorker } from './kernel-worker.ts';
import { ENOENT, kernelError } from './rtnetlink/errno.ts';
import type { NeighbourLimits } from './rtnetlink/neighbour-limits.ts';

export class KernelNeighbourLimits {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  /** @throws KernelError */
  read(): Promise<NeighbourLimits> {
    return this.#worker.request('neighbourLimits', undefined);
  }

  /**
   * Raises each limit that is lower. Idempotent.
   * @returns what was before, or undefined if nothing was raised
   * @throws KernelError if they must not be written
   */
  async raise(to: NeighbourLimits): Promise<NeighbourLimits | undefined> {
    const before = await this.read();
    const raised = {
      least: Math.max(before.least, to.least),
      soft: Math.max(before.soft, to.soft),
      most: Math.max(before.most, to.most),
    };
    if (raised.least === before.least && raised.soft === before.soft && raised.most === before.most) {
      return undefined;
    }
    try {
      await this.#worker.request('neighbourLimitsSet', raised);
    } catch (error) {
      if (!(error instanceof KernelError && error.errno === ENOENT)) throw error;
      const remedy = 'they can be set in the network namespace of the host itself only; set them there';
      throw kernelError('raise the limits of the neighbour table', ENOENT, undefined, remedy);
    }
    return before;
  }
}
