/** What the pools of a network say of limits, from memory. */
import { parseCidr } from '../../core/ip.ts';
import type { KeyedTexts } from '../../core/limit-text.ts';
import type { NetworkRecord } from '../../store/host-records.ts';
import type { PoolBook } from './pool-book.ts';

export class LimitDefaults {
  readonly #book: Pick<PoolBook, 'get' | 'ready'>;

  constructor(book: Pick<PoolBook, 'get' | 'ready'>) {
    this.#book = book;
  }

  /** The pools have been read. */
  get ready(): boolean {
    return this.#book.ready;
  }

  /**
   * By direction, the first of the network's pools that says something (IPv4 goes first).
   * @returns undefined while the pools have not been read
   */
  of(network: Pick<NetworkRecord, 'subnets'>): KeyedTexts | undefined {
    if (!this.#book.ready) return undefined;
    const found: { net_in?: string; net_out?: string } = {};
    for (const { subnet } of network.subnets) {
      const defaults = this.#book.get(parseCidr(subnet))?.defaults;
      if (defaults?.netIn !== undefined) found.net_in ??= defaults.netIn;
      if (defaults?.netOut !== undefined) found.net_out ??= defaults.netOut;
    }
    return found;
  }
}
