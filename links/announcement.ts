/**
 * Gratuitous ARP and unsolicited neighbour advertisements after a start: three times, a second apart, the first at
 * once. Neighbours that remember another MAC for the address learn the new one. What fails is logged and goes on.
 *
 * On every engine: before 28 they announce nothing, and 28.5 sends ARP with the address 0.0.0.0 where the address is of an
 * IPAM plugin (it copies the first 4 bytes of a 16-byte net.IP).
 *
 * @see moby libnetwork/internal/l2disco/unsol_arp_linux.go NewUnsolARP(); RFC 5227 §2.3 ANNOUNCE_NUM, ANNOUNCE_INTERVAL; RFC 4861 §10 MAX_NEIGHBOR_ADVERTISEMENT
 */
import type { Logger } from '../core/log.ts';
import type { LinkInfo } from '../net/port.ts';
import type { SandboxPort } from '../net/sandbox-port.ts';
import type { EndpointRecord } from '../store/host-records.ts';

const TIMES = 3;
const INTERVAL_MS = 1000;

export class Announcement {
  readonly #endpoint: EndpointRecord & { readonly sandboxKey: string };
  readonly #link: LinkInfo;
  readonly #deps: { readonly sandboxes: Pick<SandboxPort, 'announce'>; readonly logger: Logger };
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    endpoint: EndpointRecord & { readonly sandboxKey: string },
    link: LinkInfo,
    deps: { readonly sandboxes: Pick<SandboxPort, 'announce'>; readonly logger: Logger },
  ) {
    this.#endpoint = endpoint;
    this.#link = link;
    this.#deps = deps;
  }

  /** Returns at once; never throws. */
  start(): void {
    void this.#send(TIMES);
  }

  /** Sends no more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #send(left: number): Promise<void> {
    const { sandboxes, logger } = this.#deps;
    const { sandboxKey, address, addressIpv6, macAddress } = this.#endpoint;
    const addresses = [address, addressIpv6]
      .filter((one) => one !== undefined)
      .map((one) => one.split('/')[0] ?? '');
    try {
      const there = await sandboxes.announce({
        namespacePath: sandboxKey,
        linkIndex: this.#link.linkIndex,
        macAddress: this.#link.macAddress ?? macAddress,
        addresses,
      });
      if (!there) return;
    } catch (err) {
      if (!this.#closed) logger.warn('the address of a container could not be announced', { err });
    }
    if (left > 1 && !this.#closed) {
      this.#timer = setTimeout(() => void this.#send(left - 1), INTERVAL_MS).unref();
    }
  }
}
