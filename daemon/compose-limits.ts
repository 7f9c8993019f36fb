/** The part of the composition that shows bandwidth limits and usage to people. What puts limits in force is made elsewhere. */
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { Committer } from '../ipam/commit/committer.ts';
import type { CountedParent } from '../ipam/host/bandwidth-report.ts';
import type { Inventory } from '../ipam/inventory.ts';
import type { Leases } from '../ipam/lease/leases.ts';
import { LimitOrders } from '../ipam/people/limit-orders.ts';
import type { HostShapingPort, ShapingPort } from '../net/shaping-port.ts';
import type { EndpointRecord } from '../store/host-records.ts';
import type { KvPort } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import type { LimitStates } from '../throttle/limit-state.ts';
import type { OverrideBook } from '../throttle/override-book.ts';
import { Usage } from '../throttle/usage.ts';
import { UsagePlaces } from '../throttle/usage-places.ts';
import type { LimitRoutesDependencies } from './admin-limits.ts';
import { checkLimits } from './doctor-limits.ts';
import { LimitPeople } from './limit-people.ts';

export interface UsageParts {
  readonly shaping: Pick<ShapingPort, 'traffic'>;
  readonly host: Pick<HostShapingPort, 'traffic'>;
  readonly endpoints: { get(id: string): EndpointRecord | undefined };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** `places` is a setting of sandboxes, to be given to the keeper; `usage` is to be started with it. */
export function composeUsage({ endpoints, ...parts }: UsageParts): {
  readonly places: UsagePlaces;
  readonly usage: Usage;
} {
  const places = new UsagePlaces({ endpoints });
  return { places, usage: new Usage({}, { ...parts, endpoints: () => places.list() }) };
}

/** What of the throttle is shown. */
export interface ShownLimits {
  readonly setting: LimitStates;
  readonly overrides: OverrideBook;
  readonly usage: Usage;
  /** Of all parents of this host's networks. */
  readonly figures: () => readonly CountedParent[];
  readonly overcommit: number;
}

export interface LimitPeopleParts {
  readonly host: string;
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly inventory: Inventory;
  readonly leases: Leases;
}

export function composeLimitPeople(
  shown: ShownLimits,
  { host, inventory, leases, ...store }: LimitPeopleParts,
): {
  readonly routes: LimitRoutesDependencies;
  readonly doctor: () => Promise<ReturnType<typeof checkLimits>>;
} {
  const { setting, overrides, usage, figures, overcommit } = shown;
  const orders = new LimitOrders(store);
  const people = new LimitPeople({ host, states: setting, overrides, orders, inventory, leases, usage });
  return {
    routes: { people, orders },
    doctor: async () =>
      checkLimits({
        states: setting.states(),
        overrides: overrides.list(),
        figures: figures(),
        overcommit,
      }),
  };
}
