/**
 * `lanius doctor`: looks at everything that this host needs, and says what is wrong and what to do about it.
 *
 * Must not: change anything, or stop at the first problem. Each check has its own time limit and runs beside the
 * others, so that one thing that hangs hides nothing.
 */
import type { Clock } from '../core/clock.ts';
import { deadlineAfter, within } from '../core/deadline.ts';
import type { EnginePort } from '../engine/port.ts';
import type { Reconciling } from '../ipam/inventory.ts';
import type { NetPort } from '../net/port.ts';
import type { DoctorCheck, DoctorReport, NetworkInfo } from '../plugin/wire/admin.ts';
import type { KvPort } from '../store/kv.ts';
import { checkKernel, checkParents, checkPrivileges } from './doctor-kernel.ts';
import { checkEndpoints, checkUplinks, type LinkWorld } from './doctor-links.ts';
import { checkReconciliation, checkSession, checkStateDir } from './doctor-self.ts';
import { checkCompaction, checkEngine, checkPluginSocket, checkStore } from './doctor-services.ts';

export interface DoctorOptions {
  readonly pluginSocket: string;
  readonly stateDir: string;
  /** A key in etcd that the daemon may read. */
  readonly storeKey: string;
  readonly reconcileIntervalSeconds: number;
  /** For each check. Default 3000. */
  readonly checkTimeoutMs?: number;
}

export interface DoctorDependencies {
  readonly net: Pick<NetPort, 'probe' | 'linkGet'>;
  readonly engine: Pick<EnginePort, 'version'>;
  readonly store: Pick<KvPort, 'status' | 'range'>;
  readonly session: { readonly held: boolean };
  readonly reconciler: Pick<Reconciling, 'last'>;
  readonly networks: () => readonly NetworkInfo[];
  readonly links: LinkWorld;
  readonly clock: Clock;
  /** Checks of other parts, by their names. */
  readonly more?: Readonly<Record<string, () => Promise<DoctorCheck[]>>>;
}

export class Doctor {
  readonly #options: DoctorOptions;
  readonly #deps: DoctorDependencies;

  constructor(options: DoctorOptions, deps: DoctorDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Never rejects; takes a little longer than one check's limit at most. */
  async examine(): Promise<DoctorReport> {
    const { net, engine, store, session, reconciler, networks, links, clock, more = {} } = this.#deps;
    const {
      pluginSocket,
      stateDir,
      storeKey,
      reconcileIntervalSeconds,
      checkTimeoutMs = 3000,
    } = this.#options;
    const features = net.probe();
    const checks = await Promise.all([
      this.#limited('kernel', async () => checkKernel(await features)),
      this.#limited('privileges', async () => checkPrivileges(await features)),
      this.#limited('parents', () => checkParents(networks(), net)),
      this.#limited('uplinks', async () => checkUplinks(links)),
      this.#limited('endpoints', () => checkEndpoints(links)),
      this.#limited('engine', () => checkEngine(engine, checkTimeoutMs)),
      this.#limited('etcd', () => checkStore(store, checkTimeoutMs)),
      this.#limited('etcd compaction', () => checkCompaction(store, storeKey, checkTimeoutMs / 2)),
      this.#limited('plugin socket', () => checkPluginSocket(pluginSocket, checkTimeoutMs)),
      this.#limited('session', async () => checkSession(session.held)),
      this.#limited('reconciliation', async () =>
        checkReconciliation(reconciler.last, clock.wall(), reconcileIntervalSeconds),
      ),
      this.#limited('state', () => checkStateDir(stateDir)),
      ...Object.entries(more).map(([check, work]) => this.#limited(check, work)),
    ]);
    const found = checks.flat();
    return { ok: found.every(({ status }) => status !== 'fail'), checks: found };
  }

  async #limited(check: string, work: () => Promise<DoctorCheck[]>): Promise<DoctorCheck[]> {
    // a little more than a check's own limit, whose message is the better one
    const deadline = deadlineAfter((this.#options.checkTimeoutMs ?? 3000) + 500, this.#deps.clock);
    try {
      return await within(work(), deadline, 'the check');
    } catch (error) {
      const finding = error instanceof Error ? error.message : String(error);
      return [{ check, status: 'fail', finding }];
    }
  }
}
