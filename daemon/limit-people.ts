/**
 * Limits and usage of containers as people see them, put together of what the limits of this host say, its leases, and what
 * stands in etcd.
 */
import { formatIp } from '../core/ip.ts';
import { DIRECTIONS, type Direction } from '../core/limit.ts';
import { formatLimit } from '../core/limit-text.ts';
import type { Inventory, LeaseInfo } from '../ipam/inventory.ts';
import type { Leases } from '../ipam/lease/leases.ts';
import type { LimitOrdering, SetLimit } from '../ipam/people/limit-orders.ts';
import type {
  DirectionInfo,
  DirectionUsage,
  LimitInfo,
  LimitReport,
  UnusedLimit,
  UsageInfo,
} from '../plugin/wire/admin-limits.ts';
import { leaseLimitsOf } from '../throttle/lease-limits.ts';
import type { LimitState, LimitStates } from '../throttle/limit-state.ts';
import type { OverrideBook } from '../throttle/override-book.ts';
import type { TrafficFigures } from '../throttle/traffic-meter.ts';
import type { Usage } from '../throttle/usage.ts';

export interface LimitPeopleDependencies {
  readonly host: string;
  readonly states: Pick<LimitStates, 'states'>;
  readonly overrides: Pick<OverrideBook, 'list'>;
  readonly orders: LimitOrdering;
  readonly inventory: Pick<Inventory, 'leases'>;
  readonly leases: Pick<Leases, 'list'>;
  readonly usage: Pick<Usage, 'figures'>;
}

export class LimitPeople {
  readonly #deps: LimitPeopleDependencies;

  constructor(deps: LimitPeopleDependencies) {
    this.#deps = deps;
  }

  /** @param filter neither: of this host @throws StoreUnavailable */
  async report(filter: { readonly host?: string; readonly all?: boolean }): Promise<LimitReport> {
    const { host: here } = this.#deps;
    const host = filter.all === true ? undefined : (filter.host ?? here);
    const own = this.#ofThisHost();
    const limits = host === here ? own : await this.#ofLeases(host, own);
    const set = await this.#deps.orders.list();
    return { limits, unused: unusedOf(set, limits, host) };
  }

  /** Of this host, without etcd. */
  known(): LimitReport {
    const { host, overrides } = this.#deps;
    const limits = this.#ofThisHost();
    const set = overrides.list().map(({ override, ...key }) => ({ ...key, read: override }));
    return { limits, unused: unusedOf(set, limits, host) };
  }

  async usage(): Promise<UsageInfo[]> {
    const figures = await this.#deps.usage.figures();
    const states = new Map(this.#deps.states.states().map((state) => [state.endpointId, state]));
    const addresses = this.#addresses();
    return figures.map(({ endpointId, in: inward, out }) => {
      const state = states.get(endpointId);
      return {
        endpointId,
        ...(state === undefined ? {} : { networkId: state.networkId, ...containerOf(state) }),
        addresses: addresses.get(endpointId) ?? [],
        in: withLimit(inward, state, 'in'),
        out: withLimit(out, state, 'out'),
      };
    });
  }

  #ofThisHost(): LimitInfo[] {
    const { host, states } = this.#deps;
    const addresses = this.#addresses();
    return states.states().map((state) => ({
      host,
      addresses: addresses.get(state.endpointId) ?? [],
      endpointId: state.endpointId,
      ...containerOf(state),
      enforce: state.enforce,
      netAdmin: state.netAdmin,
      mended: state.mended,
      ...directionsOf(state),
    }));
  }

  /** @param host undefined: of all; this host's are known better */
  async #ofLeases(host: string | undefined, own: readonly LimitInfo[]): Promise<LimitInfo[]> {
    const found: LimitInfo[] = host === undefined ? [...own] : [];
    const byEndpoint = new Map<string, LimitInfo>();
    for await (const page of this.#deps.inventory.leases(host === undefined ? {} : { host })) {
      for (const lease of page) {
        if (lease.state !== 'bound' || lease.endpointId === undefined) continue;
        if (lease.host === this.#deps.host && host === undefined) continue;
        const earlier = byEndpoint.get(lease.endpointId);
        byEndpoint.set(lease.endpointId, infoOf(lease, earlier));
      }
    }
    return [...found, ...byEndpoint.values()];
  }

  #addresses(): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const { value, address } of this.#deps.leases.list()) {
      if (value.endpointId === undefined) continue;
      found.set(value.endpointId, [...(found.get(value.endpointId) ?? []), formatIp(address)]);
    }
    return found;
  }
}

/** @param earlier of another address of the same endpoint */
function infoOf(lease: LeaseInfo, earlier: LimitInfo | undefined): LimitInfo {
  const { host, address, endpointId, containerId, containerName, limits = {} } = lease;
  return {
    host,
    addresses: [...(earlier?.addresses ?? []), address],
    ...(endpointId === undefined ? {} : { endpointId }),
    ...(containerId === undefined ? {} : { containerId }),
    ...(containerName === undefined ? {} : { containerName }),
    ...(limits.in === undefined ? {} : { in: limits.in }),
    ...(limits.out === undefined ? {} : { out: limits.out }),
  };
}

function containerOf({ containerId, containerName }: LimitState): {
  readonly containerId?: string;
  readonly containerName?: string;
} {
  return {
    ...(containerId === undefined ? {} : { containerId }),
    ...(containerName === undefined ? {} : { containerName }),
  };
}

function directionsOf(state: LimitState): Partial<Record<Direction, DirectionInfo>> {
  const limits = leaseLimitsOf(state);
  return Object.fromEntries(
    DIRECTIONS.flatMap((direction) => {
      const value = limits[direction];
      return value === undefined
        ? []
        : [[direction, { ...value, limit: formatLimit(state[direction].wished) }]];
    }),
  );
}

function withLimit(
  figures: TrafficFigures,
  state: LimitState | undefined,
  direction: Direction,
): DirectionUsage {
  const { wished, how } = state?.[direction] ?? {};
  return {
    ...figures,
    ...(wished === undefined || how === undefined ? {} : { limitBitsPerSecond: wished.rateBitsPerSecond }),
  };
}

/** @param host of which the containers were listed; undefined: of all */
function unusedOf(
  set: readonly SetLimit[],
  limits: readonly LimitInfo[],
  host: string | undefined,
): UnusedLimit[] {
  const used = (one: SetLimit): boolean =>
    limits.some(
      ({ containerName, host: at }) =>
        containerName === one.containerName && (one.host === undefined || one.host === at),
    );
  return set
    .filter((one) => host === undefined || one.host === undefined || one.host === host)
    .filter((one) => !used(one))
    .map(({ read: { limit, problem }, ...key }) => ({
      ...key,
      ...(problem === undefined ? { limit: formatLimit(limit) } : { problem }),
    }));
}
