/**
 * Frees what a dead host has in etcd: its leases, the gateway and aux addresses that it needs, its use of pools, and, if
 * an operator says so, its registration.
 *
 * INVARIANT: every transaction compares "the host has no session", so nothing of a host that comes back is freed from
 * then on; and the lease as it was read. Steps are small and go through the Committer one lease at a time, which sends
 * them together: work that is broken off anywhere can be taken up again.
 *
 * That a host is dead says nothing of its containers: they run without their daemon. Whoever calls this has decided.
 */
import type { Deadline } from '../../core/deadline.ts';
import { Conflict, InvalidRequest, NotFound, StoreUnavailable } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { Compare, KeyValue, KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { deadSchema, decode, leaseSchema, sessionSchema } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { Step, StepResult } from '../commit/step.ts';
import type { Belongings, DeadHost, ForgetProgress, Forgetting } from '../inventory.ts';
import type { Fates } from '../lease/afterwards.ts';
import { LeaseSteps } from '../lease/lease-steps.ts';
import { readPools } from '../pool/pool-lookup.ts';
import { poolSteps } from '../pool/pool-steps.ts';
import { isShared, type Pools } from '../pool/pools.ts';

export interface HostForgettingDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Pick<Committer, 'submit'>;
  readonly pools: Pick<Pools, 'removeUnused'>;
  /** What becomes of the addresses: as if the host had released them itself. */
  readonly fates: Pick<Fates, 'of' | 'ttlGone'>;
}

/** Leases at a time: one transaction, with a bound on how long other steps wait behind it. */
const BATCH = 60;
/** A call ends early enough for one batch more, in milliseconds. */
const STEP_MS = 500;
/** As in config-schema.ts, so that no key of another host can be meant. */
const HOST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** What one order is about. */
interface Order {
  readonly host: string;
  /** Further conditions of every step. */
  readonly guard: readonly Compare[];
  readonly deadline: Deadline;
}

export class HostForgetting implements Forgetting {
  readonly #deps: HostForgettingDependencies;

  constructor(deps: HostForgettingDependencies) {
    this.#deps = deps;
  }

  async survey(host: string): Promise<DeadHost> {
    const { kv, layout } = this.#deps;
    checkHostName(host);
    await this.#refuseAlive(host);
    const { registered, leases, holds, uses } = await this.belongings(host);
    const [mark] = (await kv.range({ key: layout.dead(host) })).kvs;
    if (!registered && leases + holds + uses === 0)
      throw new NotFound(`there is no host "${host}": see lanius host ls`);
    const since = mark === undefined ? undefined : decode(deadSchema, mark.key, mark.value).since;
    const noticed = since === undefined ? {} : { deadSince: new Date(since).toISOString() };
    return { host, leases, holds, uses, ...noticed };
  }

  /** What any host has, dead or alive. */
  async belongings(host: string): Promise<Belongings & { readonly registered: boolean }> {
    const { kv, layout } = this.#deps;
    const leases = (await kv.range({ prefix: layout.byHost(host) }, { countOnly: true })).count;
    const registered = (await kv.range({ key: layout.host(host) }, { countOnly: true })).count > 0;
    let [holds, uses] = [0, 0];
    for (const { subnet } of await readPools(kv, layout)) {
      holds += (await this.#holdsOf(host, subnet)).length;
      uses += (await kv.range({ key: layout.use(subnet, host) }, { countOnly: true })).count;
    }
    return { registered, leases, holds, uses };
  }

  async forget(host: string, deadline: Deadline): Promise<ForgetProgress> {
    checkHostName(host);
    await this.#refuseAlive(host);
    const order = { host, guard: [], deadline };
    const freed = await this.free(host, deadline);
    return freed.done ? { ...freed, done: await this.#unregister(order) } : freed;
  }

  /**
   * As `forget`, but the registration stays.
   * @param guard more that must hold in every transaction
   */
  async free(host: string, deadline: Deadline, guard: readonly Compare[] = []): Promise<ForgetProgress> {
    const { kv, layout } = this.#deps;
    const order = { host, guard, deadline };
    const freed = { leases: 0, holds: 0, uses: 0 };
    try {
      const pools = await readPools(kv, layout);
      for (;;) {
        const page = await kv.range({ prefix: layout.byHost(host) }, { limit: BATCH });
        if (page.kvs.length === 0) break;
        const ended = await Promise.all(page.kvs.map((entry) => this.#freeLease(entry, order)));
        freed.leases += ended.filter(Boolean).length;
        failpoint('forget.between-batches');
        if (deadline.leftMs() < STEP_MS) return { ...freed, done: false };
      }
      for (const { subnet } of pools) {
        freed.holds += await this.#freeHolds(subnet, order);
        freed.uses += await this.#freeUse(subnet, order);
      }
      return { ...freed, done: true };
    } catch (error) {
      throw explained(error, host, freed);
    }
  }

  /** @returns false if it has changed since it was read, or was an index entry only; the next page tells */
  async #freeLease(entry: KeyValue, order: Order): Promise<boolean> {
    const { layout, fates } = this.#deps;
    const { subnet, address } = layout.addressOf(entry.key);
    const value = decode(leaseSchema, entry.key, entry.value);
    const afterwards = await fates.of(subnet, value, { cooling: true });
    const steps = new LeaseSteps(layout, order.host, subnet, address);
    const lease = { do: 'get', range: { key: layout.lease(subnet, address) } } as const;
    // Lease and index were written together: their revisions are the same, unless the index is damaged.
    const step = steps.release({ modRevision: entry.modRevision }, afterwards, value);
    try {
      const result = await this.#submit({ ...step, txn: { ...step.txn, failure: [lease] } }, order);
      if (result.succeeded) return true;
      const read = result.results[0];
      await this.#mendIndex(entry, read?.did === 'get' ? read.kvs[0] : undefined, order);
    } catch (error) {
      if (!(error instanceof NotFound) || afterwards.fate === 'free') throw error;
      await fates.ttlGone(afterwards);
    }
    return false;
  }

  /** The index entry is not its lease's: it is made so, or it goes. */
  async #mendIndex(entry: KeyValue, lease: KeyValue | undefined, order: Order): Promise<void> {
    const { layout } = this.#deps;
    const { subnet, address } = layout.addressOf(entry.key);
    const value = lease === undefined ? undefined : decode(leaseSchema, lease.key, lease.value);
    const ours = value?.host === order.host && value.state !== 'reserved';
    const steps = new LeaseSteps(layout, order.host, subnet, address);
    if (lease !== undefined && value !== undefined && ours) {
      await this.#submit(steps.replace(lease.modRevision, value), order);
      return;
    }
    const compare: Compare[] = [{ test: 'modRevision', key: entry.key, equals: entry.modRevision }];
    const success = [{ do: 'delete', range: { key: entry.key } }] as const;
    await this.#submit({ lockKey: layout.lease(subnet, address), txn: { compare, success } }, order);
  }

  async #freeHolds(subnet: Cidr, order: Order): Promise<number> {
    const { kv, layout } = this.#deps;
    let freed = 0;
    for (const address of await this.#holdsOf(order.host, subnet)) {
      const there = (await kv.range({ key: layout.lease(subnet, address) })).kvs[0];
      const shared = there !== undefined && isShared(decode(leaseSchema, there.key, there.value));
      const reservation = shared ? there : undefined;
      await this.#submit(poolSteps(layout, order.host).unhold(subnet, address, reservation), order);
      freed += 1;
    }
    return freed;
  }

  async #freeUse(subnet: Cidr, order: Order): Promise<number> {
    const { kv, layout, pools } = this.#deps;
    const { count } = await kv.range({ key: layout.use(subnet, order.host) }, { countOnly: true });
    if (count === 0) return 0;
    await this.#submit(poolSteps(layout, order.host).leave(subnet), order);
    await pools.removeUnused(subnet, order.deadline);
    return 1;
  }

  /** @returns false if the host has something again */
  async #unregister(order: Order): Promise<boolean> {
    const { layout } = this.#deps;
    const { host } = order;
    const ofHost = [layout.host(host), layout.station(host), layout.bandwidth(host)];
    const keys = [...ofHost, layout.dead(host), layout.deadWait(host)];
    const result = await this.#submit(
      {
        lockKey: layout.host(host),
        txn: {
          compare: [{ test: 'rangeEmpty', prefix: layout.byHost(host) }],
          success: keys.map((key) => ({ do: 'delete', range: { key } })),
        },
      },
      order,
    );
    return result.succeeded;
  }

  /** @throws Conflict if the host is not dead any more; then nothing was done */
  async #submit(step: Step, { host, guard, deadline }: Order): Promise<StepResult> {
    const { layout, committer } = this.#deps;
    const session = layout.session(host);
    const { succeeded, results, revision } = await committer.submit({
      lockKey: step.lockKey,
      txn: {
        compare: [{ test: 'absent', key: session }, ...guard],
        success: [{ do: 'txn', txn: step.txn }],
        failure: [{ do: 'get', range: { key: session } }],
      },
      deadline,
    });
    const [read] = results;
    if (!succeeded) throw cameBack(host, read?.did === 'get' ? read.kvs[0] : undefined);
    if (read?.did === 'txn') return { ...read.result, revision };
    throw new StoreUnavailable('etcd answered a transaction without its parts', { outcomeUnknown: true });
  }

  async #refuseAlive(host: string): Promise<void> {
    const [session] = (await this.#deps.kv.range({ key: this.#deps.layout.session(host) })).kvs;
    if (session === undefined) return;
    throw new Conflict(`host ${host} is alive (${whereabouts(session)}): stop its daemon first`);
  }

  async #holdsOf(host: string, subnet: Cidr): Promise<IpAddress[]> {
    const { kv, layout } = this.#deps;
    const holds = await kv.range({ prefix: layout.holdsOfPool(subnet) }, { keysOnly: true });
    return holds.kvs
      .filter(({ key }) => key.endsWith(`/${host}`))
      .map(({ key }) => layout.addressOfHold(key));
  }
}

function cameBack(host: string, session: KeyValue | undefined): Conflict {
  const where = session === undefined ? '' : ` (${whereabouts(session)})`;
  return new Conflict(`host ${host} has come back${where}: nothing more of it is freed`);
}

function whereabouts(session: KeyValue): string {
  const { pid, hostname } = decode(sessionSchema, session.key, session.value);
  return `pid ${pid} on ${hostname}`;
}

/** Says how far the work has come. */
function explained(error: unknown, host: string, freed: Belongings): unknown {
  const count = `${freed.leases} of its addresses were freed before`;
  if (error instanceof Conflict) return new Conflict(`${error.message}; ${count}`);
  if (!(error instanceof StoreUnavailable)) return error;
  return new StoreUnavailable(
    `etcd does not answer while host ${host} is forgotten: ${count}, do it again for the rest (lanius host ls)`,
    { cause: error, outcomeUnknown: error.outcomeUnknown },
  );
}

function checkHostName(host: string): void {
  if (HOST_NAME.test(host)) return;
  const shown = host.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
  throw new InvalidRequest(`"${shown}" is not the name of a host: see lanius host ls`);
}
