/** What is wished for one endpoint, of all that was said by people and by its container. Shapes only. */
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { Wish } from './wish.ts';

export interface EndpointWish extends Wish {
  /** The container is known, so what it says itself is in it. */
  readonly known: boolean;
  readonly container?: {
    readonly containerId: string;
    readonly name: string;
    readonly netAdmin: boolean;
  };
}

export interface EndpointWishes {
  /** What people set in etcd has been read once. Before, nothing may be concluded for what runs already. */
  readonly ready: boolean;
  /** As far as it is known now; from memory. */
  of(endpoint: EndpointRecord, network: NetworkRecord): EndpointWish;
  /**
   * Returns as soon as the container is known, or when the time is over; at once where the time was over before. Never
   * throws.
   */
  wait(endpointId: string, timeoutMs: number): Promise<unknown>;
}

/**
 * Why a start is to be refused: the container says something of its own that cannot be read. (What people set in etcd is told
 * instead, and never keeps a container from starting.)
 */
export function refusalOf(wish: Wish): string | undefined {
  return wish.in.refusal ?? wish.out.refusal;
}
