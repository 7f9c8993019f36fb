/**
 * Limits that people set and take away by container name, in etcd; and what has become of them, as the hosts that hold the
 * containers' leases say it. Puts nothing in force itself: every host follows these keys (throttle/override-book.ts).
 */
import type { Deadline } from '../../core/deadline.ts';
import { InvalidRequest } from '../../core/errors.ts';
import { formatCidr, formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { DIRECTIONS, type Direction } from '../../core/limit.ts';
import { formatLimit, type LimitTexts, limitKey } from '../../core/limit-text.ts';
import type { KvPort, Operation } from '../../store/kv.ts';
import type { Layout, LimitKey } from '../../store/layout.ts';
import { limitValue, type ReadLimit, readLimit } from '../../store/limit-value.ts';
import { decode, type LeaseLimits, leaseSchema } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import { type FoundContainer, findContainer, type SeenLease } from './lease-search.ts';

/** What a limit is about, as a person says it. */
export interface LimitTarget {
  /** Name, address, or beginning of the id. */
  readonly container: string;
  /** Only on that host; absent: on all. */
  readonly host?: string;
}

/** How the limits of a container stand, as its host has written it. */
export interface LeaseOutcome {
  readonly host: string;
  readonly pool: string;
  readonly address: string;
  /** Changes with everything that its host writes. */
  readonly revision: number;
  readonly limits: LeaseLimits;
}

export interface LimitChange {
  readonly containerName: string;
  readonly host?: string;
  /** What is set now, by direction, for people; only what was asked for. `null`: nothing is set any more. */
  readonly set: Readonly<Partial<Record<Direction, string | null>>>;
  readonly changed: boolean;
  /** The change has it: what hosts write later has a larger one. */
  readonly revision: number;
  /** Of the containers that it is about, some of them where there are many. */
  readonly leases: readonly LeaseOutcome[];
}

/** A limit in etcd. */
export interface SetLimit extends LimitKey {
  readonly read: ReadLimit;
}

export interface LimitOrdering {
  /** @throws InvalidRequest, NotFound, Conflict, StoreUnavailable */
  set(
    target: LimitTarget,
    limits: Readonly<Partial<Record<Direction, LimitTexts>>>,
    deadline: Deadline,
  ): Promise<LimitChange>;
  /** Idempotent. @throws the same */
  remove(target: LimitTarget, directions: readonly Direction[], deadline: Deadline): Promise<LimitChange>;
  /** As they are now; leases that are gone are left out. */
  outcomes(of: readonly Pick<LeaseOutcome, 'pool' | 'address'>[]): Promise<LeaseOutcome[]>;
  /** All that people have set, those that cannot be read included. */
  list(): Promise<SetLimit[]>;
}

export interface LimitOrdersDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Pick<Committer, 'submit'>;
}

/** Who has more containers of one name looks at lanius limit ls. */
const MOST_LEASES = 20;
/** As in config-schema.ts. */
const HOST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

export class LimitOrders implements LimitOrdering {
  readonly #deps: LimitOrdersDependencies;

  constructor(deps: LimitOrdersDependencies) {
    this.#deps = deps;
  }

  async set(
    target: LimitTarget,
    limits: Readonly<Partial<Record<Direction, LimitTexts>>>,
    deadline: Deadline,
  ): Promise<LimitChange> {
    const values = DIRECTIONS.flatMap((direction) => {
      const texts = limits[direction];
      if (texts === undefined) return [];
      return [{ direction, value: limitValue(texts, (part) => limitKey(direction, part)) }];
    });
    if (values.length === 0)
      throw new InvalidRequest('nothing to set: give a rate to receive (in) or to send (out)');
    const container = await this.#find(target);
    const keyOf = this.#keyOf(target, container);
    const puts = values.map(
      ({ direction, value }): Operation => ({ do: 'put', key: keyOf(direction), value }),
    );
    const before = await this.#values(puts);
    const revision = await this.#submit(puts, deadline);
    return {
      ...this.#about(target, container, revision),
      set: Object.fromEntries(
        values.map(({ direction, value }) => [direction, formatLimit(readLimit('', value).limit)]),
      ),
      changed: values.some(({ value }, index) => before[index] !== value),
    };
  }

  async remove(
    target: LimitTarget,
    directions: readonly Direction[],
    deadline: Deadline,
  ): Promise<LimitChange> {
    const container = await this.#find(target);
    const keyOf = this.#keyOf(target, container);
    const deletes = directions.map(
      (direction): Operation => ({ do: 'delete', range: { key: keyOf(direction) } }),
    );
    const before = await this.#values(deletes);
    const changed = before.some((value) => value !== undefined);
    const revision = await this.#submit(deletes, deadline);
    return {
      ...this.#about(target, container, revision),
      set: Object.fromEntries(directions.map((direction) => [direction, null])),
      changed,
    };
  }

  async outcomes(of: readonly Pick<LeaseOutcome, 'pool' | 'address'>[]): Promise<LeaseOutcome[]> {
    const { kv, layout } = this.#deps;
    const keys = of
      .slice(0, MOST_LEASES)
      .map(({ pool, address }) => layout.lease(parseCidr(pool), parseIp(address)));
    const found = await Promise.all(keys.map((key) => kv.range({ key })));
    return found.flatMap(({ kvs: [item] }) =>
      item === undefined
        ? []
        : [this.#outcome({ kv: item, value: decode(leaseSchema, item.key, item.value) })],
    );
  }

  async list(): Promise<SetLimit[]> {
    const { kv, layout } = this.#deps;
    const { kvs } = await kv.range({ prefix: layout.limits });
    return kvs.flatMap(({ key, value }) => {
      const limit = layout.limitOf(key);
      return limit === undefined ? [] : [{ ...limit, read: readLimit(key, value) }];
    });
  }

  async #find({ container, host }: LimitTarget): Promise<FoundContainer> {
    if (host !== undefined && !HOST_NAME.test(host)) {
      const shown = host.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
      throw new InvalidRequest(`"${shown}" is not the name of a host: see lanius host ls`);
    }
    return await findContainer(this.#deps, container, host);
  }

  #keyOf({ host }: LimitTarget, { containerName }: FoundContainer): (direction: Direction) => string {
    const where = host === undefined ? {} : { host };
    return (direction) => this.#deps.layout.limit({ ...where, containerName, direction });
  }

  /** What stands at the keys now; only to say whether anything changes. */
  async #values(operations: readonly Operation[]): Promise<(string | undefined)[]> {
    return await Promise.all(
      operations.map(async (operation) => {
        if (operation.do === 'txn') return undefined;
        const range = operation.do === 'put' ? { key: operation.key } : operation.range;
        return (await this.#deps.kv.range(range)).kvs[0]?.value;
      }),
    );
  }

  async #submit(success: readonly Operation[], deadline: Deadline): Promise<number> {
    const { revision } = await this.#deps.committer.submit({
      lockKey: this.#deps.layout.limits,
      txn: { compare: [], success },
      deadline,
    });
    return revision;
  }

  #about({ host }: LimitTarget, { containerName, leases }: FoundContainer, revision: number) {
    return {
      containerName,
      ...(host === undefined ? {} : { host }),
      revision,
      leases: leases.slice(0, MOST_LEASES).map((lease) => this.#outcome(lease)),
    };
  }

  #outcome({ kv, value }: SeenLease): LeaseOutcome {
    const { subnet, address } = this.#deps.layout.addressOf(kv.key);
    return {
      host: value.host,
      pool: formatCidr(subnet),
      address: formatIp(address),
      revision: kv.modRevision,
      limits: value.limits ?? {},
    };
  }
}
