/**
 * Reconciliation, the looking and acting part: leases, endpoints and links of this host that nothing uses are
 * freed. Two looks some seconds apart must agree, revisions must not have moved, and every source must answer;
 * any error means keep.
 *
 * Runs at start (as soon as the engine answers), when the engine comes back, on a timer and by command. Runs
 * never overlap: a request during a run is served by the next one.
 *
 * After a return it runs again and again for a while: a call of the engine that a crash cut off is repeated up to 8 s
 * later, then without its parameters, so that it must be refused; and calls before it may have been given up. Only
 * when that is over has the engine forgotten what they meant to release, and nobody asks again.
 */
import PQueue from 'p-queue';
import type { Clock } from '../core/clock.ts';
import { type Deadline, deadlineAfter } from '../core/deadline.ts';
import { toDriverError } from '../core/errors.ts';
import { endpointIdOfAlias } from '../core/ids.ts';
import { formatIp } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { EnginePort } from '../engine/port.ts';
import type { LinkInfo, NetPort } from '../net/port.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { RecordStore } from '../store/records.ts';
import type { ClaimBook } from './claim-book.ts';
import { addressesOf } from './holders.ts';
import type { Decision, ReconcileReport, Reconciling } from './inventory.ts';
import type { Leases } from './leases.ts';
import { agreed, type Look, type PlanContext, plan, type Verdict } from './reconcile-plan.ts';

/** How long after a return the engine may still forget something: it repeats a call for 15 s in all. */
const UNSETTLED_MS = 15_000;
/** Pause between two runs in that time. */
const UNSETTLED_INTERVAL_MS = 1000;

export interface ReconcilerOptions {
  readonly instance: string;
  readonly lookGapMs: number;
  readonly graceMs: number;
  readonly intervalMs: number;
  readonly engineTimeoutMs?: number;
}

export interface ReconcilerDependencies {
  readonly leases: Leases;
  readonly claimBook: ClaimBook;
  readonly networks: RecordStore<NetworkRecord>;
  readonly endpoints: RecordStore<EndpointRecord>;
  readonly claims: RecordStore<ClaimRecord>;
  readonly engine: EnginePort;
  readonly net: NetPort;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Reconciler implements Reconciling {
  readonly #options: ReconcilerOptions;
  readonly #deps: ReconcilerDependencies;
  readonly #runs = new PQueue({ concurrency: 1 });
  readonly #startedAtMs: number;
  #engineLostAtMs: number | undefined;
  /** Of the monotonic clock. */
  #engineReturnedAtMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last: ReconcileReport | undefined;
  #closed = false;

  constructor(options: ReconcilerOptions, deps: ReconcilerDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#startedAtMs = deps.clock.wall();
  }

  get last(): ReconcileReport | undefined {
    return this.#last;
  }

  /** The engine serves its API (again). */
  engineReturned(): void {
    this.#engineReturnedAtMs = this.#deps.clock.now();
    this.#soon('engine return');
  }

  /** The engine is gone; whatever it had asked for before is forgotten by it. */
  engineLost(): void {
    this.#engineLostAtMs = this.#deps.clock.wall();
  }

  run(trigger: string, options: { readonly dryRun: boolean }): Promise<ReconcileReport> {
    return this.#runs.add(() => this.#run(trigger, options.dryRun));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#runs.onIdle();
  }

  #soon(trigger: string): void {
    if (this.#closed || this.#runs.size > 0) return;
    void this.run(trigger, { dryRun: false });
  }

  #scheduleNext(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const returnedAtMs = this.#engineReturnedAtMs;
    const unsettled = returnedAtMs !== undefined && this.#deps.clock.now() - returnedAtMs < UNSETTLED_MS;
    // Jitter: hosts that started together do not look together for ever.
    const jitter = 0.75 + Math.random() / 2;
    const { intervalMs } = this.#options;
    const waitMs = unsettled ? Math.min(UNSETTLED_INTERVAL_MS, intervalMs) : intervalMs * jitter;
    this.#timer = setTimeout(() => this.#soon('timer'), waitMs);
    this.#timer.unref();
  }

  async #run(trigger: string, dryRun: boolean): Promise<ReconcileReport> {
    const { clock, logger } = this.#deps;
    const startedAt = clock.now();
    let problem: string | undefined;
    let decisions: Verdict[] = [];
    try {
      const first = plan(await this.#look(), this.#context());
      decisions = first;
      if (first.some(isChange)) {
        await this.#gap();
        const second = plan(await this.#look(), this.#context());
        const sure = agreed(first, second);
        decisions = second.map((verdict) =>
          sure.includes(verdict) || !isChange(verdict) ? verdict : { ...verdict, action: 'wait' },
        );
        if (!dryRun && !this.#closed) await this.#act(sure.filter(isChange));
      }
      if (!dryRun && !this.#closed) await this.#deps.claimBook.sweep(deadlineAfter(5000, clock));
    } catch (error) {
      problem = toDriverError(error).message;
      logger.warn('reconciliation changed nothing more: a source did not answer', {
        err: error,
        outcome: 'kept',
      });
    }
    const durationMs = Math.round(clock.now() - startedAt);
    const report: ReconcileReport = {
      at: new Date(clock.wall()).toISOString(),
      trigger,
      dryRun,
      ...(problem === undefined ? {} : { problem }),
      decisions: decisions.map(({ kind, object, action, reason }) => ({ kind, object, action, reason })),
      durationMs,
    };
    this.#last = report;
    const freed = report.decisions.filter(
      (decision) => isChange(decision) && decision.action !== 'adopt',
    ).length;
    logger[freed > 0 ? 'info' : 'debug']('reconciliation ended', { trigger, durationMs, freed, dryRun });
    this.#scheduleNext();
    return report;
  }

  async #look(): Promise<Look> {
    const { leases, networks, endpoints, claims, engine, net, clock } = this.#deps;
    const timeoutMs = this.#options.engineTimeoutMs ?? 5000;
    // The engine first: what it does not show yet then has a lease or record that is looked at later, and stays.
    const [engineNetworks, engineContainers] = await Promise.all([
      engine.networks(timeoutMs),
      engine.containers(timeoutMs),
    ]);
    const records = endpoints.list();
    const [held, allLinks, inSandbox] = await Promise.all([
      leases.read(),
      net.linkList(),
      this.#inSandbox(records),
    ]);
    return {
      leases: held.map((lease) => ({ ...lease, busy: leases.busy(lease.subnet, lease.address) })),
      endpoints: records,
      networks: networks.list(),
      claims: claims.list(),
      links: allLinks.filter((link) => endpointIdOfAlias(link.alias ?? '') !== undefined),
      inSandbox,
      engineNetworks,
      engineContainers,
      wallMs: clock.wall(),
    };
  }

  /** Endpoints whose link is up in the sandbox that Join named. */
  async #inSandbox(records: readonly EndpointRecord[]): Promise<Set<string>> {
    const found = new Set<string>();
    for (const { endpointId, sandboxKey } of records) {
      if (sandboxKey === undefined) continue;
      const links: LinkInfo[] | undefined = await this.#deps.net.linkListIn(sandboxKey);
      if (links?.some((link) => link.up && endpointIdOfAlias(link.alias ?? '') === endpointId))
        found.add(endpointId);
    }
    return found;
  }

  async #act(verdicts: readonly Verdict[]): Promise<void> {
    const deadline = deadlineAfter(30_000, this.#deps.clock);
    // One thing that cannot be done must not keep the others, for ever, from being done.
    const failures: unknown[] = [];
    const stuck = new Set<string>();
    const carryOut = (verdict: Verdict): Promise<void> =>
      this.#carryOut(verdict, deadline).catch((error: unknown) => {
        failures.push(error);
        if (verdict.kind !== 'endpoint') return;
        for (const { address } of addressesOf(verdict.endpoint)) stuck.add(formatIp(address));
      });
    // Endpoints before leases: a lease is free only when its endpoint is gone.
    for (const verdict of verdicts.filter(({ kind }) => kind === 'endpoint' || kind === 'link'))
      await carryOut(verdict);
    const leases = verdicts.filter(({ kind, object }) => kind === 'lease' && !stuck.has(object));
    await Promise.all(leases.map(carryOut));
    for (const verdict of verdicts.filter(({ kind }) => kind === 'claim' || kind === 'network'))
      await carryOut(verdict);
    if (failures.length > 0) throw failures[0];
  }

  async #carryOut(verdict: Verdict, deadline: Deadline): Promise<void> {
    const { leases, claimBook, networks, endpoints, net, logger } = this.#deps;
    switch (verdict.kind) {
      case 'endpoint':
        if (verdict.action === 'adopt') return this.#adopt(verdict.endpoint, deadline);
        await this.#deleteLinkOf(verdict.endpoint);
        await endpoints.delete(verdict.endpoint.endpointId);
        break;
      case 'link':
        await net.linkDelete(verdict.link.name);
        break;
      case 'lease':
        await leases.releaseIfUnchanged(verdict.lease, deadline);
        break;
      case 'claim':
        await claimBook.drop(verdict.claim.poolId, deadline);
        break;
      case 'network':
        await networks.delete(verdict.network.networkId);
        break;
    }
    logger.info('reconciliation freed what nothing uses', {
      kind: verdict.kind,
      object: verdict.object,
      reason: verdict.reason,
    });
  }

  /** Only with its mark: after a refused Join the name may be somebody else's. */
  async #deleteLinkOf({ endpointId, linkName }: EndpointRecord): Promise<void> {
    const link = await this.#deps.net.linkGet(linkName);
    if (endpointIdOfAlias(link?.alias ?? '') === endpointId) await this.#deps.net.linkDelete(linkName);
  }

  async #adopt(endpoint: EndpointRecord, deadline: Deadline): Promise<void> {
    for (const { subnet, address } of addressesOf(endpoint))
      await this.#deps.leases.restore(subnet, address, deadline);
    this.#deps.logger.warn('etcd had lost the lease of a living endpoint, it is taken again', {
      endpointId: endpoint.endpointId,
    });
  }

  #gap(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#options.lookGapMs));
  }

  #context(): PlanContext {
    return {
      instance: this.#options.instance,
      graceMs: this.#options.graceMs,
      engineLostAtMs: this.#engineLostAtMs,
      startedAtMs: this.#startedAtMs,
    };
  }
}

function isChange({ action }: Pick<Decision, 'action'>): boolean {
  return action === 'free' || action === 'delete' || action === 'adopt';
}
