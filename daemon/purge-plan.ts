/** What `lanius purge` would do, and whether it may, from what was seen on the host. Pure. */
import type { Belongings } from '../ipam/inventory.ts';
import type { Belonging } from '../links/belongings.ts';

export interface SeenNetwork {
  /** Its name, or its id if the engine does not tell. */
  readonly name: string;
  readonly networkId: string;
  /** Containers that are attached to it and run. */
  readonly containers: readonly string[];
}

export type SeenStore =
  /** Its data lie in the state folder. */
  | { readonly kind: 'embedded' }
  | {
      readonly kind: 'cluster';
      readonly hosts: readonly string[];
      readonly belongings: Belongings & { readonly registered: boolean };
    }
  | { readonly kind: 'unreachable'; readonly reason: string };

export interface PurgeView {
  readonly host: string;
  /** Units that are active or enabled. */
  readonly units: readonly string[];
  readonly networks: readonly SeenNetwork[];
  readonly store: SeenStore;
  /** What of ours stands in the kernel. */
  readonly belongings: readonly Belonging[];
  readonly files: readonly string[];
}

export interface PurgeItem {
  /** `unit`, `addresses`, `registration`, `network`, a kind of link, `file`. */
  readonly what: string;
  readonly object: string;
}

export interface PurgePlan {
  /** Why it must not be done, with the remedy; absent: it may. */
  readonly refusal?: string;
  readonly items: readonly PurgeItem[];
  /** Networks whose containers go on: what they stand on stays. Only with `force`. */
  readonly kept: readonly SeenNetwork[];
}

export function purgePlan(view: PurgeView, options: { readonly force: boolean }): PurgePlan {
  const kept = options.force ? view.networks.filter(({ containers }) => containers.length > 0) : [];
  const items: PurgeItem[] = [
    ...view.units.map((object) => ({ what: 'unit', object })),
    ...view.networks.map(({ name }) => ({ what: 'network record', object: name })),
    ...storeItems(view),
    ...view.belongings
      .filter((one) => !isKept(one, kept))
      .map(({ kind, object }) => ({ what: kind, object })),
    ...view.files.map((object) => ({ what: 'file', object })),
  ];
  const refusal = options.force ? undefined : refusalOf(view);
  return { items, kept, ...(refusal === undefined ? {} : { refusal }) };
}

function storeItems({ store, host }: PurgeView): PurgeItem[] {
  if (store.kind !== 'cluster') return [];
  const { leases, holds, uses, registered } = store.belongings;
  const counted = [
    ['addresses', `${leases} leased by host ${host}`, leases],
    ['gateways', `${holds} kept by host ${host}`, holds],
    ['pool uses', `${uses} of host ${host}`, uses],
  ] as const;
  return [
    ...counted.flatMap(([what, object, count]) => (count === 0 ? [] : [{ what, object }])),
    ...(registered ? [{ what: 'registration', object: `host ${host} in etcd` }] : []),
  ];
}

function refusalOf({ networks, store, host }: PurgeView): string | undefined {
  const running = networks.flatMap(({ containers }) => containers);
  if (running.length > 0) {
    return `${some(running)} run on networks of Lanius and would lose their addresses to others: remove them first (docker rm -f), or say --force`;
  }
  if (networks.length > 0) {
    const names = networks.map(({ name }) => name);
    return `the networks ${some(names)} of Lanius are there: remove them first (docker network rm), or say --force`;
  }
  if (store.kind === 'unreachable') {
    return `${store.reason}; what host ${host} has there would stay: wait for etcd, or say --force and later "lanius host forget ${host}" on another host`;
  }
  return undefined;
}

/** Belongings are named with their owner: `network 1a2b3c4d5e6f`, or an endpoint, whose container may run. */
function isKept({ owner = '' }: Belonging, kept: readonly SeenNetwork[]): boolean {
  return (
    kept.length > 0 &&
    (owner.startsWith('endpoint') || kept.some(({ networkId }) => owner.includes(networkId.slice(0, 12))))
  );
}

/** At most five names. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
