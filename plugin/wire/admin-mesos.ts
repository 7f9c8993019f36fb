/**
 * What this host has left for containers, over the admin socket, for schedulers: addresses and bandwidth.
 * docs/marathon.md shows the command that uses it.
 */
import type { AddressFigures } from '../../ipam/people/host-figures.ts';

export type { AddressFigures };

export const FIGURES_PATH = '/v1/figures';

/** Rates in bits a second; in: towards containers. Of a direction of which nothing is known nothing is said. */
export interface BandwidthFigures {
  /** Link of this host, e.g. `eth0`. */
  readonly parent: string;
  /** What limits may add up to now, overcommit included: as declared, else as the link has negotiated. */
  readonly capacityInBitsPerSecond?: number;
  readonly capacityOutBitsPerSecond?: number;
  /** The same, only where `throttle.capacity` says it: it changes with the settings alone. */
  readonly declaredInBitsPerSecond?: number;
  readonly declaredOutBitsPerSecond?: number;
  /** Limits of the containers that run here. */
  readonly committedInBitsPerSecond: number;
  readonly committedOutBitsPerSecond: number;
}

/** Answer of GET {@link FIGURES_PATH}. */
export interface HostFiguresReply {
  readonly addresses: readonly AddressFigures[];
  /** Absent where no capacity is known. */
  readonly bandwidth?: readonly BandwidthFigures[];
}
