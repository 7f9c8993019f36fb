/**
 * `lanius import shrike`: from Shrike's tree and the lists of its hosts to pools and reservations. The decisions are
 * ipam/migrate/shrike-plan.ts'; here etcd is read, what is decided is carried out, and every decision is told.
 *
 * A pool is made closed, its addresses are reserved, and only then it is opened; so an import that ends half-way has given
 * nothing away, and the same again goes on. Nothing that stands is changed.
 */
import type { Clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { Conflict, InvalidRequest, NotFound } from '../../core/errors.ts';
import { type Cidr, cidrContains, cidrsOverlap, formatCidr, formatIp } from '../../core/ip.ts';
import type { KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { endOfPrefix, pagesOf } from '../../store/pages.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import type { Reserving } from '../inventory.ts';
import type { PoolAdministration } from '../pool/pool-admin.ts';
import { readPools } from '../pool/pool-lookup.ts';
import { parseName } from '../pool/pool-words.ts';
import { ShrikeEvidence } from './shrike-evidence.ts';
import {
  type NetworkPlan,
  planNetwork,
  SHRIKE_ACTIONS,
  type ShrikeDecision,
  type Standing,
} from './shrike-plan.ts';
import { closedWishes } from './shrike-pool.ts';
import { parseShrikeTree, type ShrikeNetwork } from './shrike-tree.ts';
import { parseUsedList } from './used-list.ts';

export interface ShrikeImportDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly poolAdmin: Pick<PoolAdministration, 'add' | 'set'>;
  readonly reservations: Pick<Reserving, 'reserve'>;
  readonly clock: Clock;
}

export interface ShrikeOrder {
  /** What etcd's v2 API answered for the directory /talkingdata. */
  readonly tree: unknown;
  /** What is in use on each host; `file` is for complaints. */
  readonly usedBy: readonly { readonly file: string; readonly text: string }[];
  /** The lists are of all hosts there are, whatever the tree says. */
  readonly complete: boolean;
  /** Name of the pool; for a tree with one network. */
  readonly pool?: string;
  readonly dryRun: boolean;
}

export type ShrikeCounts = Readonly<Record<ShrikeDecision['action'], number>>;

/** Reservations that are under way together. */
const AT_ONCE = 32;
const RESERVE_TIMEOUT_MS = 10_000;

export class ShrikeImport {
  readonly #deps: ShrikeImportDependencies;

  constructor(deps: ShrikeImportDependencies) {
    this.#deps = deps;
  }

  /**
   * Idempotent: carried out twice, the second changes nothing.
   * @param tell each decision, when it is carried out
   * @throws InvalidRequest for what is no tree or no list, before anything is changed; StoreUnavailable
   */
  async run(order: ShrikeOrder, tell: (decision: ShrikeDecision) => Promise<void>): Promise<ShrikeCounts> {
    const tree = parseShrikeTree(order.tree);
    const lists = order.usedBy.map(({ file, text }) => parseUsedList(file, text));
    const twice = lists.find(({ host }, index) => lists.findIndex((one) => one.host === host) < index);
    if (twice !== undefined)
      throw new InvalidRequest(`host ${twice.host} has given two lists: leave the older one out`);
    if (order.pool !== undefined) {
      parseName('pool', order.pool);
      if (tree.networks.length > 1)
        throw new InvalidRequest(
          `the tree has ${tree.networks.length} networks, so one name is not enough: leave --pool out`,
        );
    }
    const evidence = new ShrikeEvidence(tree, lists, order.complete);
    const counts = Object.fromEntries(SHRIKE_ACTIONS.map((action) => [action, 0])) as Record<
      ShrikeDecision['action'],
      number
    >;
    const told = async (decision: ShrikeDecision): Promise<void> => {
      counts[decision.action] += 1;
      await tell(decision);
    };
    for (const network of tree.networks) {
      const name = order.pool ?? `shrike-${formatCidr(network.subnet).replace('/', '-')}`;
      const standing = await this.#standing(network);
      const plan = planNetwork(network, { tree, evidence, name }, standing);
      if (order.dryRun) await tellAll(plan, told);
      else await this.#carryOut(plan, network, told);
    }
    return counts;
  }

  async #standing({ subnet }: ShrikeNetwork): Promise<Standing> {
    const { kv, layout } = this.#deps;
    const pools = await readPools(kv, layout);
    const across = pools.filter((pool) => cidrsOverlap(pool.subnet, subnet));
    const [pool, ...others] = across;
    const leases = new Map<string, LeaseValue | null>();
    if (pool === undefined) return { pool: undefined, obstacle: undefined, leases };
    const title = `${pool.value?.name ?? ''} (${formatCidr(pool.subnet)})`.trim();
    if (pool.value === undefined)
      return { pool: undefined, obstacle: `pool ${title} is damaged: see lanius store check`, leases };
    if (others.length > 0 || !cidrContains(pool.subnet, subnet))
      return { pool: undefined, obstacle: `pool ${title} lies inside of ${formatCidr(subnet)}`, leases };
    for await (const [address, value] of this.#leases(pool.subnet)) leases.set(address, value);
    return { pool: pool.value, obstacle: undefined, leases };
  }

  async *#leases(subnet: Cidr): AsyncGenerator<[address: string, value: LeaseValue | null]> {
    const { kv, layout } = this.#deps;
    const prefix = layout.leases(subnet);
    const { revision } = await kv.range({ prefix }, { countOnly: true });
    for await (const page of pagesOf(kv, { from: prefix, to: endOfPrefix(prefix), revision })) {
      for (const { key, value } of page) {
        const address = attempt(() => formatIp(layout.addressOf(key).address));
        if (address !== undefined) yield [address, attempt(() => decode(leaseSchema, key, value)) ?? null];
      }
    }
  }

  async #carryOut(
    { pool, decisions }: NetworkPlan,
    { subnet }: ShrikeNetwork,
    told: (decision: ShrikeDecision) => Promise<void>,
  ): Promise<void> {
    const { poolAdmin } = this.#deps;
    const text = formatCidr(subnet);
    if (pool !== undefined) {
      const refused = await refusalOf(poolAdmin.add(pool.name, text, closedWishes(pool.wishes, subnet)));
      if (refused !== undefined) {
        await told({ ...pool.decision, action: 'conflict', reason: refused });
        return;
      }
    }
    for (let first = 0; first < decisions.length; first += AT_ONCE) {
      const part = decisions.slice(first, first + AT_ONCE).map((decision) => this.#reserved(decision));
      for (const decision of await Promise.all(part)) await told(decision);
    }
    if (pool === undefined) return;
    const { excludes = [] } = pool.wishes;
    const refused = await refusalOf(poolAdmin.set(pool.name, { excludes }));
    await told(
      refused === undefined ? pool.decision : { ...pool.decision, action: 'conflict', reason: refused },
    );
  }

  /** What has come of the decision: it may not be possible any more. */
  async #reserved(decision: ShrikeDecision): Promise<ShrikeDecision> {
    const { reservations, clock } = this.#deps;
    const { action, pool, object, name } = decision;
    if (action !== 'reserve' || name === undefined) return decision;
    const deadline = deadlineAfter(RESERVE_TIMEOUT_MS, clock);
    const refused = await refusalOf(reservations.reserve(pool, object, name, deadline));
    if (refused === undefined) return decision;
    return { ...decision, action: 'conflict', reason: `${decision.reason}; ${refused}` };
  }
}

async function tellAll(
  { pool, decisions }: NetworkPlan,
  told: (decision: ShrikeDecision) => Promise<void>,
): Promise<void> {
  for (const decision of decisions) await told(decision);
  if (pool !== undefined) await told(pool.decision);
}

/** @returns why it cannot be; undefined: it is done */
async function refusalOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof Conflict || error instanceof InvalidRequest || error instanceof NotFound)
      return error.message;
    throw error;
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
