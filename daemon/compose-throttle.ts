/** The part of the composition that is about bandwidth: who wishes which limit, what a parent carries, what is in force. */
import type { Clock } from '../core/clock.ts';
import { DIRECTIONS, type Limits } from '../core/limit.ts';
import type { Logger } from '../core/log.ts';
import { parseRate } from '../core/rate.ts';
import type { ContainerFinder } from '../engine/container-finder.ts';
import type { AddressService } from '../ipam/address-service.ts';
import type { Committer } from '../ipam/commit/committer.ts';
import { BandwidthReport } from '../ipam/host/bandwidth-report.ts';
import { LimitDefaults } from '../ipam/pool/limit-defaults.ts';
import type { PoolBook } from '../ipam/pool/pool-book.ts';
import { addressesOf, type Holders } from '../ipam/reconcile/holders.ts';
import type { KernelWorker } from '../net/kernel-worker.ts';
import { linkSpeedBitsPerSecond } from '../net/link-speed.ts';
import { KernelHostShaping } from '../net/shaping/kernel-host-shaping.ts';
import { KernelShaping } from '../net/shaping/kernel-shaping.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { KvPort } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import type { RecordStore } from '../store/records.ts';
import type { LeaseLimits } from '../store/schema.ts';
import { Admission } from '../throttle/admission.ts';
import { Capacities } from '../throttle/capacities.ts';
import { EndpointLimits } from '../throttle/endpoint-limits.ts';
import { HostLimits } from '../throttle/host-limits.ts';
import { KnownContainers } from '../throttle/known-containers.ts';
import { leaseLimitsOf } from '../throttle/lease-limits.ts';
import { LimitSetting } from '../throttle/limit-setting.ts';
import { nicOf } from '../throttle/nic.ts';
import { OverrideBook } from '../throttle/override-book.ts';
import { Wishes } from '../throttle/wishes.ts';
import { composeUsage } from './compose-limits.ts';
import type { Config } from './config-schema.ts';

export interface ThrottleParts {
  readonly config: Config['throttle'];
  readonly host: string;
  /** Between two looks whether etcd still has what this host says of its bandwidth. */
  readonly reportIntervalMs: number;
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly kernel: KernelWorker;
  readonly finder: ContainerFinder;
  readonly networks: RecordStore<NetworkRecord>;
  readonly endpoints: RecordStore<EndpointRecord>;
  readonly book: Pick<PoolBook, 'get' | 'ready' | 'onChange'>;
  readonly committer: Committer;
  readonly addresses: Pick<AddressService, 'noteLimits'>;
  readonly holders: Pick<Holders, 'named'>;
  /** What is wished of the endpoint has changed: to be put in force now. */
  readonly changed: (endpointId: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

export type ThrottleComposition = ReturnType<typeof composeThrottle>;

/** Where a parent does not say how fast it is, what it enforces is not bounded by more than this. */
const FASTEST_BITS_PER_SECOND = 100e9;

export function composeThrottle(parts: ThrottleParts) {
  const { config, host, kv, layout, kernel, finder, networks, endpoints, book, clock, logger } = parts;
  const { wishTimeoutMs } = config;
  const containers = new KnownContainers({ finder, endpoints, logger });
  const overrides = new OverrideBook({ host }, { kv, layout, logger });
  const wishes = new Wishes(
    { cap: limitsOf(config.cap) },
    { containers, overrides, pools: new LimitDefaults(book) },
  );
  const capacities = new Capacities(
    {
      configured: Object.fromEntries(Object.entries(config.capacity).map(([nic, at]) => [nic, ratesOf(at)])),
    },
    { speedOf: linkSpeedBitsPerSecond, clock },
  );
  const admission = new Admission(
    {
      host,
      refuse: config.admission,
      overcommit: config.overcommit,
      unlimited: ratesOf(config.unlimitedCountsAs),
    },
    { capacityOf: (parent) => capacities.of(parent), onChange: () => report.changed() },
  );
  /** Of all parents of this host's networks. */
  const figures = () => admission.figures(networks.list().map(nicOf));
  const report = new BandwidthReport(
    { host, overcommit: config.overcommit, intervalMs: parts.reportIntervalMs },
    { kv, layout, committer: parts.committer, figures, clock, logger },
  );
  const shaping = new KernelShaping(kernel);
  const hostShaping = new KernelHostShaping(kernel);
  const hostLimits = new HostLimits({
    wishes,
    shaping: hostShaping,
    networks,
    endpoints,
    speedOf: (parent) => {
      const speed = capacities.speedOf(parent);
      if (speed !== undefined) return { in: speed, out: speed };
      return { in: FASTEST_BITS_PER_SECOND, out: FASTEST_BITS_PER_SECOND, ...capacities.of(parent) };
    },
    logger,
  });
  const setting = new LimitSetting({ wishTimeoutMs }, { wishes, shaping, host: hostLimits, endpoints });
  const { places, usage } = composeUsage({ shaping, host: hostShaping, endpoints, clock, logger });
  const limits = new EndpointLimits(
    { wishTimeoutMs },
    {
      wishes,
      containers,
      admission,
      networks,
      endpoints,
      changed: parts.changed,
      forget: (endpointId, network) => {
        setting.left(endpointId);
        hostLimits.left(network);
      },
    },
  );
  let known = false;
  overrides.onChange((names) => {
    for (const { endpointId } of endpoints.list()) {
      const name = containers.of(endpointId)?.name;
      if (name !== undefined && names.includes(name)) limits.wishChanged(endpointId);
      // What stood since before the start is looked at now that all is known.
      else if (!known) parts.changed(endpointId);
    }
    known = true;
  });
  containers.onFound((endpointId, renamed) => {
    limits.wishChanged(endpointId);
    const [endpoint, container] = [endpoints.get(endpointId), containers.of(endpointId)];
    // People find a limit by the name that its lease says.
    if (renamed && endpoint !== undefined && container !== undefined)
      parts.holders.named(endpoint, container);
  });
  book.onChange(() => limits.allChanged());
  setting.onChange((state) => {
    const endpoint = endpoints.get(state.endpointId);
    for (const { subnet, address } of endpoint === undefined ? [] : addressesOf(endpoint))
      parts.addresses.noteLimits(subnet, address, leaseLimitsOf(state));
  });
  return {
    containers,
    overrides,
    setting,
    places,
    usage,
    limits,
    admission,
    figures,
    report,
    overcommit: config.overcommit,
    declared: (parent: string) => capacities.declared(parent),
    /** Networks come and go: what their parents carry is told, and nothing of ours stays on a parent. */
    uplinkPart: {
      prepare: async (): Promise<void> => report.changed(),
      settle: (): Promise<void> => {
        report.changed();
        return hostLimits.settleAll();
      },
    },
    /** As its lease says them; undefined for endpoints of which nothing is known yet. */
    leaseLimitsOf: (endpointId: string): LeaseLimits | undefined => {
      const state = setting.states().find((one) => one.endpointId === endpointId);
      return state === undefined ? undefined : leaseLimitsOf(state);
    },
    close: async (): Promise<void> => {
      containers.close();
      usage.close();
      await report.close();
      await overrides.close();
    },
  };
}

function limitsOf(rates: { readonly in?: string; readonly out?: string }): Limits {
  return Object.fromEntries(
    Object.entries(ratesOf(rates)).map(([direction, rateBitsPerSecond]) => [
      direction,
      { rateBitsPerSecond },
    ]),
  );
}

function ratesOf(rates: { readonly in?: string; readonly out?: string }): {
  readonly in?: number;
  readonly out?: number;
} {
  return Object.fromEntries(
    DIRECTIONS.flatMap((direction) => {
      const rate = parseRate(rates[direction] ?? 'none');
      return rate === undefined ? [] : [[direction, rate]];
    }),
  );
}
