/**
 * `HostShapingPort` over the kernel worker: limits on the host's side of a parent, out of the reach of sandboxes.
 *
 * What holds, and what does not:
 * - What a container sends through the parent is held to its limit by its MAC, whatever it does in its sandbox: a MAC that
 *   is no endpoint's falls into a class of 1 Mbit/s for all of them together.
 * - What it receives is held, too, also from another container of the parent: in mode `bridge` macvlan hands that to the
 *   parent's ingress. What it *sends* to another container of the parent in mode `bridge` never comes to the parent's egress:
 *   it is held by the receiver's limit only. So use mode `private` or `vepa`, or limits in the sandboxes as well.
 * - Broadcast and multicast to containers count to the host's own class.
 * - All endpoints of the parent must be named, those without a limit, too; else their MACs are unknown. So must every other
 *   user of the parent be a link of the host's namespace.
 * - The parent's own qdisc (mq of a NIC with several queues) is replaced: one queue for all.
 */
import type { Direction } from '../../core/limit.ts';
import { type KernelWorker, LAST, NEXT } from '../kernel-worker.ts';
import type { EndpointTraffic, HostShapedEndpoint, HostShapingPort } from '../shaping-port.ts';
import { FoundFeatures } from './found-features.ts';

export class KernelHostShaping implements HostShapingPort {
  readonly #worker: KernelWorker;
  readonly #macAddresses = new Map<string, ReadonlyMap<string, string>>();
  readonly #features: FoundFeatures;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
    this.#features = new FoundFeatures(() => worker.request('shapingProbe', undefined, NEXT));
  }

  async settle(
    parent: string,
    endpoints: readonly HostShapedEndpoint[],
    linkBitsPerSecond: Readonly<Record<Direction, number>>,
  ): Promise<readonly string[]> {
    this.#macAddresses.set(
      parent,
      new Map(endpoints.map(({ endpointId, macAddress }) => [endpointId, macAddress.toLowerCase()])),
    );
    if (endpoints.length === 0) {
      this.#macAddresses.delete(parent);
      return this.#worker.request('hostShapingRemove', parent, NEXT);
    }
    const features = await this.#features.get();
    return this.#worker.request(
      'hostShapingSettle',
      { parent, endpoints, linkBitsPerSecond, features },
      NEXT,
    );
  }

  parents(): Promise<readonly string[]> {
    return this.#worker.request('hostShapingParents', undefined, NEXT);
  }

  /** @param endpointIds as the last `settle` named them; of others nothing is known */
  async traffic(
    parent: string,
    endpointIds: readonly string[],
  ): Promise<ReadonlyMap<string, EndpointTraffic>> {
    const known = this.#macAddresses.get(parent);
    const asked = endpointIds.flatMap((endpointId) => {
      const macAddress = known?.get(endpointId);
      return macAddress === undefined ? [] : [{ endpointId, macAddress }];
    });
    if (asked.length === 0) return new Map();
    const macAddresses = asked.map(({ macAddress }) => macAddress);
    const found = await this.#worker.request('hostShapingTraffic', { parent, macAddresses }, LAST);
    return new Map(
      asked.flatMap(({ endpointId, macAddress }) => {
        const traffic = found.get(macAddress);
        return traffic === undefined ? [] : [[endpointId, traffic] as const];
      }),
    );
  }
}
