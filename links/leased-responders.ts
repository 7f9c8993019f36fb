/**
 * `responder=leased`: the kernel's list of leased addresses follows the leases of the network's pools. The kernel believes
 * the list for a while only; when this host no longer hears of leases, all planned addresses are answered again, so that no
 * new container is cut off by an old list.
 */
import { type Cidr, type IpAddress, parseCidr } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { ResponderPort } from '../net/responder.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import type { LeasedFeed } from './arp-setting.ts';

export interface LeasedWatchPort {
  watch(
    subnet: Cidr,
    onChange: (changed: readonly IpAddress[]) => void,
  ): { readonly current: boolean; addresses(): IpAddress[]; close(): Promise<void> };
}

export interface LeasedRespondersDependencies {
  readonly leases: LeasedWatchPort;
  readonly responder: Pick<ResponderPort, 'setLeased' | 'changeLeased'>;
  readonly logger: Logger;
}

const VALID_MS = 30_000;
const RENEW_MS = 10_000;

export class LeasedResponders implements LeasedFeed {
  readonly #deps: LeasedRespondersDependencies;
  readonly #networks = new Map<string, LeasedNetwork>();

  constructor(deps: LeasedRespondersDependencies) {
    this.#deps = deps;
  }

  want(network: NetworkRecord): void {
    if (this.#networks.has(network.networkId)) return;
    this.#networks.set(network.networkId, new LeasedNetwork(network, this.#deps));
  }

  keep(networkIds: readonly string[]): void {
    for (const [networkId, network] of this.#networks) {
      if (networkIds.includes(networkId)) continue;
      this.#networks.delete(networkId);
      void network.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#networks.values()].map((network) => network.close()));
    this.#networks.clear();
  }
}

/** One network. INVARIANT: one message to the kernel at a time, in order. */
class LeasedNetwork {
  readonly #networkId: string;
  readonly #deps: LeasedRespondersDependencies;
  readonly #watches: readonly ReturnType<LeasedWatchPort['watch']>[];
  readonly #timer: NodeJS.Timeout;
  readonly #changed = new Set<number>();
  #whole = false;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor({ networkId, subnets }: NetworkRecord, deps: LeasedRespondersDependencies) {
    this.#networkId = networkId;
    this.#deps = deps;
    const ipv4 = subnets.map(({ subnet }) => parseCidr(subnet)).filter(({ family }) => family === 4);
    this.#watches = ipv4.map((subnet) => deps.leases.watch(subnet, (changed) => this.#note(changed)));
    this.#timer = setInterval(() => this.#tell(), RENEW_MS).unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.all(this.#watches.map((watch) => watch.close()));
  }

  #note(changed: readonly IpAddress[]): void {
    for (const { value } of changed) this.#changed.add(Number(value));
    this.#tell();
  }

  #tell(): void {
    this.#again = true;
    if (this.#running !== undefined) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      if (!this.#watches.every(({ current }) => current)) return;
      try {
        await this.#send();
      } catch (err) {
        this.#whole = false;
        this.#deps.logger.warn('the list of leased addresses could not be given to the kernel', { err });
      }
    }
  }

  async #send(): Promise<void> {
    const { responder } = this.#deps;
    const networkId = this.#networkId;
    const leased = new Set(
      this.#watches.flatMap((watch) => watch.addresses().map(({ value }) => Number(value))),
    );
    const changed = [...this.#changed];
    this.#changed.clear();
    if (!this.#whole) {
      await responder.setLeased({ networkId, addresses: leased, validForMs: VALID_MS });
      this.#whole = true;
      return;
    }
    const added = changed.filter((address) => leased.has(address));
    const removed = changed.filter((address) => !leased.has(address));
    await responder.changeLeased({ networkId, added, removed, validForMs: VALID_MS });
  }
}
