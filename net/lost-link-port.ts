/**
 * Links of containers that the kernel destroyed with their parent, made again where they were. For everybody above.
 *
 * @see net/lost-link.ts, which does it
 */
import type { MacvlanMode } from './port.ts';

/** What a container's link is, after the engine has set it up. */
export interface LostLinkSpec {
  /** E.g. `/var/run/docker/netns/0f5c…`. */
  readonly namespacePath: string;
  /** In the daemon's own namespace. */
  readonly parent: string;
  readonly mode: MacvlanMode;
  readonly macAddress: string;
  /** The endpoint's mark, IFLA_IFALIAS. */
  readonly alias: string;
  /** The parent's, if not given. */
  readonly mtuBytes?: number;
  /** Until it has its own name; a link of this name without a mark is one of an attempt that was cut off. */
  readonly linkName: string;
  /** What it was called there, if known; else, or if another has it, the first eth that is free. */
  readonly name?: string;
  /** With prefix length: `10.0.0.5/16`. */
  readonly addresses: readonly string[];
  /** For the default routes, each made only if there is none of its family. */
  readonly gateways: readonly string[];
}

/** `stands`: nothing is lost. `gone`: there is no such sandbox any more. */
export type LostLinkFate = 'made' | 'stands' | 'gone';

export interface LostLinkPort {
  /**
   * Makes a container's macvlan link again, with its mark, addresses and default routes, up; unless a link with the mark
   * is in the sandbox, or in the daemon's own namespace. Idempotent.
   * @throws NotFound (parent), KernelError; then no new link stands
   */
  lostLinkRevive(spec: LostLinkSpec): Promise<LostLinkFate>;
}
