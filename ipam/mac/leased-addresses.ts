/**
 * The leased addresses of a pool, all of them, as a copy fed by a watch: for `responder=leased`, which answers for no other.
 * For clusters in which every host may know every lease.
 */
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { PrefixCopy } from '../../store/prefix-copy.ts';

export interface LeasedAddressesDependencies {
  readonly kv: Pick<KvPort, 'range' | 'watch'>;
  readonly layout: Layout;
  readonly logger: Logger;
}

/** The leases of one pool. */
export interface LeasedWatch {
  /** It is as etcd is, but for what is under way. */
  readonly current: boolean;
  /** All, as they are now; also reserved ones. */
  addresses(): IpAddress[];
  close(): Promise<void>;
}

const RETRY_MS = 1000;

export class LeasedAddresses {
  readonly #deps: LeasedAddressesDependencies;

  constructor(deps: LeasedAddressesDependencies) {
    this.#deps = deps;
  }

  /** @param onChange told of addresses that have got or lost a lease; first of all that have one */
  watch(subnet: Cidr, onChange: (changed: readonly IpAddress[]) => void): LeasedWatch {
    const { kv, layout, logger } = this.#deps;
    const prefix = layout.leases(subnet);
    const addressOf = (key: string): IpAddress => layout.addressOf(key).address;
    const copy = new PrefixCopy(
      { prefix, what: 'leases of a pool', keysOnly: true },
      { kv, logger, onChange: (keys) => onChange(keys.map(addressOf)) },
    );
    let closed = false;
    const begin = (): void => {
      if (closed) return;
      copy.load().catch(() => setTimeout(begin, RETRY_MS).unref());
    };
    begin();
    return {
      get current() {
        return copy.current;
      },
      addresses: () => [...copy.entries()].map(([key]) => addressOf(key)),
      close: async () => {
        closed = true;
        await copy.close();
      },
    };
  }
}
