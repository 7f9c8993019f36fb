/**
 * Asks the segment whether anybody uses an IPv4 address, before it is given to a container: the ARP probe of RFC 5227, with
 * a shorter time than a desktop takes, because a container waits for it. The kernel worker never waits for the wire.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { IpAddress } from '../core/ip.ts';
import { FIRST, type KernelWorker, NEXT } from './kernel-worker.ts';

export interface AddressProbePort {
  /**
   * @param link name of a link of the daemon's own namespace
   * @param address IPv4
   * @returns the MAC of a machine that uses it, as soon as it answers; undefined if nobody did in time
   * @throws NotFound (link), KernelError (link is down)
   */
  ask(link: string, address: IpAddress): Promise<string | undefined>;
}

export interface AddressProbeOptions {
  /** How long nobody may answer, in milliseconds. Default 200. */
  readonly timeoutMs?: number;
}

/** Questions, evenly over two thirds of the time: one frame may be lost. */
const QUESTIONS = 3;
const TIMEOUT_MS = 200;
/** Between two looks, in milliseconds. An answer of the segment takes less than the first of them. */
const LOOK_EVERY_MS = 10;
const FIRST_LOOK_MS = 2;

export class AddressProbe implements AddressProbePort {
  readonly #timeoutMs: number;
  readonly #worker: KernelWorker;

  constructor(options: AddressProbeOptions, worker: KernelWorker) {
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#worker = worker;
  }

  async ask(link: string, address: IpAddress): Promise<string | undefined> {
    const worker = this.#worker;
    const id = await worker.request('arpProbeOpen', { link, address: Number(address.value) }, FIRST);
    try {
      return await this.#listen(id);
    } finally {
      await worker.request('arpProbeClose', id, NEXT);
    }
  }

  async #listen(id: number): Promise<string | undefined> {
    const began = performance.now();
    const gapMs = (this.#timeoutMs * 2) / 3 / QUESTIONS;
    for (let asked = 0, waitMs = FIRST_LOOK_MS; ; waitMs = LOOK_EVERY_MS) {
      const spentMs = performance.now() - began;
      if (asked < QUESTIONS && spentMs >= asked * gapMs) {
        await this.#worker.request('arpProbeAsk', id, FIRST);
        asked += 1;
      }
      await sleep(waitMs);
      const mac = await this.#worker.request('arpProbeLook', id, FIRST);
      if (mac !== undefined) return mac;
      if (performance.now() - began >= this.#timeoutMs && asked >= QUESTIONS) return undefined;
    }
  }
}
