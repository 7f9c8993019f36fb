/**
 * The container's side of `host_access`: its neighbour table knows the host's addresses at the shim's MAC and need not
 * ask. IPv6 could not be asked for there, because the shim has no address; and for IPv4 the table of planned addresses,
 * or `arp_ignore` on the host, may say otherwise.
 */
import type { ShimPort } from '../net/shim-port.ts';
import type { HostAccess } from './host-access.ts';
import type { SandboxLink, SandboxSetting } from './sandbox-setting.ts';

export interface HostAccessSettingDependencies {
  readonly hostAccess: Pick<HostAccess, 'hostNeighbours'>;
  readonly shims: Pick<ShimPort, 'staticNeighbours'>;
}

export class HostAccessSetting implements SandboxSetting {
  readonly name = 'host access';
  readonly required = false;
  readonly #deps: HostAccessSettingDependencies;

  constructor(deps: HostAccessSettingDependencies) {
    this.#deps = deps;
  }

  /** @throws KernelError */
  async apply({ endpoint, network, namespacePath, linkIndex }: SandboxLink): Promise<string | undefined> {
    const { hostAccess, shims } = this.#deps;
    const entries = hostAccess.hostNeighbours(endpoint, network);
    if (entries.length === 0) return undefined;
    await shims.staticNeighbours({ namespacePath, linkIndex, entries });
    return entries.map(({ address }) => address).join(', ');
  }
}
