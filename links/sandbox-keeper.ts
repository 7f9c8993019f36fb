/**
 * Keeps the settings of all sandboxes in force: what the driver tells of its endpoints, what the kernel tells of their
 * links, and a slow check for what nobody tells become looks and applications (links/kept-sandbox.ts).
 *
 * On engines from 28 on the driver is told when the link is in the sandbox, before the container's process runs
 * (`program`). On older ones, and for the second and further networks of a container, the kernel's events are the only
 * word of it. [docs/sandboxes.md](../docs/sandboxes.md) tells the whole story.
 *
 * Must not: hold up a handler, but for `program`; ask the Engine API.
 */
import type { Clock } from '../core/clock.ts';
import { endpointIdOfAlias, SANDBOX_IFB_MARK } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import type { KernelEvent } from '../net/event-types.ts';
import type { SandboxPort } from '../net/sandbox-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { KeptSandbox, type SandboxCounters, type SandboxState } from './kept-sandbox.ts';
import type { Sandboxes, SandboxSetting } from './sandbox-setting.ts';

const CHECK_INTERVAL_MS = 60_000;
/** Between the looks of one round: a start must not queue behind all of them. */
const ROUND_GAP_MS = 20;
/** For engines that move the link while no events are heard. */
const LOOKS_AFTER_JOIN_MS = [300, 1000, 3000, 10_000] as const;
/** A start waits so long for settings that it can do without. */
const OPTIONAL_WAIT_MS = 3000;
/** Deletions by hand come in swarms. */
const NEIGHBOURS_DELAY_MS = 100;
const FILTER_DELAY_MS = 10;
/** Who makes a link gives it a name, an address and more, one after the other. */
const STRANGER_DELAY_MS = 100;

export interface SandboxKeeperOptions {
  /** Between two checks of everything. Default 60,000, with jitter. */
  readonly checkIntervalMs?: number;
}

export interface SandboxKeeperDependencies {
  /** Applied in this order. */
  readonly settings: readonly SandboxSetting[];
  readonly events: { onEvents(listener: (events: readonly KernelEvent[]) => void): () => void };
  readonly sandboxes: SandboxPort;
  readonly networks: { get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[]; get(id: string): EndpointRecord | undefined };
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly logger: Logger;
}

export class SandboxKeeper implements Sandboxes {
  readonly counters: SandboxCounters = { arrived: 0, applied: 0, mended: 0, failed: 0, resyncs: 0 };
  readonly #deps: SandboxKeeperDependencies;
  readonly #checkIntervalMs: number;
  readonly #kept = new Map<string, KeptSandbox>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #logger: Logger;
  #unsubscribe: (() => void) | undefined;
  #nextCheck: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    { checkIntervalMs = CHECK_INTERVAL_MS }: SandboxKeeperOptions,
    deps: SandboxKeeperDependencies,
  ) {
    this.#checkIntervalMs = checkIntervalMs;
    this.#deps = deps;
    this.#logger = deps.logger.child({ component: 'sandboxes' });
  }

  /** Begins to keep: takes over the endpoints on record, listens, checks. Before events are started. Idempotent. */
  start(): void {
    if (this.#unsubscribe !== undefined || this.#closed) return;
    this.#unsubscribe = this.#deps.events.onEvents((events) => {
      for (const event of events) this.#heard(event);
    });
    for (const endpoint of this.#deps.endpoints.list()) this.#keep(endpoint, false);
    // The events begin with a resync; this is for where there are none.
    this.#scheduleCheck(1000);
  }

  joined(endpoint: EndpointRecord): void {
    const kept = this.#keep(endpoint, true);
    if (kept === undefined || this.#unsubscribe === undefined) return;
    for (const delayMs of LOOKS_AFTER_JOIN_MS) {
      this.#later(delayMs, () => {
        if (!kept.arrived) kept.ask('arrived');
      });
    }
  }

  async program(endpointId: string): Promise<void> {
    const endpoint = this.#deps.endpoints.get(endpointId);
    const kept = this.#kept.get(endpointId) ?? (endpoint && this.#keep(endpoint, false));
    if (kept === undefined) return;
    const work = kept.program();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), OPTIONAL_WAIT_MS).unref();
    });
    // What fails later is told by the sandbox itself.
    if ((await Promise.race([work, late])) === 'late') {
      if (kept.requiredPending) return work;
      work.catch(() => {});
      kept.checkRequired();
      this.#logger.warn(
        'a container starts before the settings of its sandbox are in force: the host is busy',
        {
          endpointId,
        },
      );
    }
    clearTimeout(timer);
  }

  left(endpointId: string): void {
    this.#kept.get(endpointId)?.close();
    this.#kept.delete(endpointId);
  }

  /** What a setting of this endpoint rests on has changed: it is applied at once (see KeptSandbox.changedWish). */
  changedWish(endpointId: string): void {
    this.#kept.get(endpointId)?.changedWish();
  }

  /** Asks for a check of all sandboxes, spread over time; e.g. after what should be in force has changed. */
  checkAll(): void {
    let delayMs = 0;
    for (const kept of this.#kept.values()) {
      kept.ask('check', delayMs);
      delayMs += ROUND_GAP_MS;
    }
    if (this.#unsubscribe !== undefined)
      this.#scheduleCheck(this.#checkIntervalMs * (0.8 + 0.4 * this.#deps.random()));
  }

  /** For doctor. */
  states(): SandboxState[] {
    return [...this.#kept.values()].map(({ state }) => state);
  }

  /** Keeps no longer; what is in force stays. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    clearTimeout(this.#nextCheck);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const kept of this.#kept.values()) kept.close();
    this.#kept.clear();
  }

  #keep(endpoint: EndpointRecord, expected: boolean): KeptSandbox | undefined {
    const { endpointId, sandboxKey } = endpoint;
    if (this.#closed || sandboxKey === undefined) return undefined;
    this.#kept.get(endpointId)?.close();
    const kept = new KeptSandbox({ ...endpoint, sandboxKey }, expected, {
      ...this.#deps,
      counters: this.counters,
      logger: this.#logger,
    });
    this.#kept.set(endpointId, kept);
    return kept;
  }

  #heard(event: KernelEvent): void {
    switch (event.kind) {
      case 'resync':
        this.counters.resyncs++;
        this.checkAll();
        break;
      case 'link': {
        const { nsid, link } = event;
        if (nsid === undefined) break;
        const kept = this.#keptOf(link.alias);
        if (kept !== undefined) kept.changed({ nsid, linkIndex: link.linkIndex }, link.up);
        // A link that may step around the limits of ours; or our ifb, which drops everything while it is down.
        else if (link.alias !== SANDBOX_IFB_MARK || !link.up) this.#askIn(nsid, STRANGER_DELAY_MS);
        break;
      }
      case 'link-gone':
        this.#keptOf(event.alias)?.moved(event.nsid === undefined ? event.movedTo : undefined);
        if (event.nsid !== undefined && event.alias === SANDBOX_IFB_MARK) this.#askIn(event.nsid, 0);
        break;
      case 'address':
        this.#ask(event, 'neighbours-lost', 0);
        break;
      case 'neighbours':
        this.#ask(event, 'check', NEIGHBOURS_DELAY_MS);
        break;
      case 'traffic-control':
        // Of the ifb, too, which no endpoint is placed at.
        this.#askIn(event.nsid, FILTER_DELAY_MS);
        break;
    }
  }

  #ask(
    { nsid, linkIndex }: { readonly nsid: number; readonly linkIndex: number },
    occasion: 'neighbours-lost' | 'check',
    delayMs: number,
  ): void {
    for (const kept of this.#kept.values()) {
      if (kept.place?.nsid === nsid && kept.place.linkIndex === linkIndex) kept.ask(occasion, delayMs);
    }
  }

  #askIn(nsid: number, delayMs: number): void {
    for (const kept of this.#kept.values()) {
      if (kept.place?.nsid === nsid) kept.ask('check', delayMs);
    }
  }

  #keptOf(alias: string | undefined): KeptSandbox | undefined {
    const endpointId = alias === undefined ? undefined : endpointIdOfAlias(alias);
    return endpointId === undefined ? undefined : this.#kept.get(endpointId);
  }

  #scheduleCheck(delayMs: number): void {
    clearTimeout(this.#nextCheck);
    if (!this.#closed) this.#nextCheck = setTimeout(() => this.checkAll(), delayMs).unref();
  }

  #later(delayMs: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delayMs).unref();
    this.#timers.add(timer);
  }
}
