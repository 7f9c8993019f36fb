/** Bridges of the kernel, and the move of addresses: asks the kernel worker. Must not decide anything about them. */
import type { Addressing, AddressingMove, BridgePort, BridgeSpec, BridgeState } from './bridge-port.ts';
import { FIRST, type KernelWorker, LAST } from './kernel-worker.ts';
import type { AddressEntry } from './rtnetlink/address.ts';

export class KernelBridges implements BridgePort {
  readonly #worker: KernelWorker;

  constructor(worker: KernelWorker) {
    this.#worker = worker;
  }

  bridgeAdd(spec: BridgeSpec): Promise<BridgeState> {
    return this.#worker.request('bridgeAdd', spec, FIRST);
  }

  uplinkJoin(bridge: string, uplink: string): Promise<void> {
    return this.#worker.request('uplinkJoin', { bridge, uplink }, FIRST);
  }

  bridgeDelete(spec: BridgeSpec): Promise<boolean | readonly string[]> {
    return this.#worker.request('bridgeDelete', spec, LAST);
  }

  addressingOf(name: string): Promise<Addressing> {
    return this.#worker.request('addressingOf', name, FIRST);
  }

  addressingMove(move: AddressingMove): Promise<void> {
    return this.#worker.request('addressingMove', move, FIRST);
  }

  addressesDelete(name: string, addresses: readonly AddressEntry[]): Promise<void> {
    return this.#worker.request('addressesDelete', { name, addresses }, FIRST);
  }
}
