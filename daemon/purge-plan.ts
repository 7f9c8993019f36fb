/** What `lanius purge` would do, and whether it may, from what was seen on the host. Pure. */
import { shortId } from '../core/ids.ts';
import type { Belongings } from '../ipam/inventory.ts';
import type { Belonging } from '../links/belongings.ts';
import { RECORD_KINDS } from '../store/host-records.ts';

export interface SeenNetwork {
  /** Its name, or its id if the engine does not tell. */
  readonly name: string;
  readonly networkId: string;
  /** Containers that are attached to it and run. */
  readonly containers: readonly string[];
  /** Its links are another driver's: nothing of it stands on this host. */
  readonly addressesOnly?: true;
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
  /** False: networks and containers are known from the records only. */
  readonly engineAnswers: boolean;
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
  /** Files that stay, because without the engine nothing else tells a later purge what runs. */
  readonly spared: readonly string[];
}

/** Folders of records, in the state folder. */
const TELLING = [RECORD_KINDS.networks.kind, RECORD_KINDS.endpoints.kind].map((kind) => `/${kind}`);

export function purgePlan(view: PurgeView, options: { readonly force: boolean }): PurgePlan {
  const kept = options.force ? view.networks.filter(({ containers }) => containers.length > 0) : [];
  const blind = !view.engineAnswers && kept.length > 0;
  const spared = view.files.filter((file) => blind && TELLING.some((folder) => file.endsWith(folder)));
  const recorded = view.networks.filter(
    (network) => network.addressesOnly !== true && !(blind && kept.includes(network)),
  );
  const items: PurgeItem[] = [
    ...view.units.map((object) => ({ what: 'unit', object })),
    ...recorded.map(({ name }) => ({ what: 'network record', object: name })),
    ...storeItems(view),
    ...view.belongings
      .filter((one) => !isKept(one, kept))
      .map(({ kind, object }) => ({ what: kind, object })),
    ...view.files.filter((file) => !spared.includes(file)).map((object) => ({ what: 'file', object })),
  ];
  const refusal = options.force ? undefined : refusalOf(view);
  return { items, kept, spared, ...(refusal === undefined ? {} : { refusal }) };
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
  const standing = kept.filter(({ addressesOnly }) => addressesOnly !== true);
  return (
    standing.length > 0 &&
    (owner.startsWith('endpoint') || standing.some(({ networkId }) => owner.includes(shortId(networkId))))
  );
}

/** At most five names. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
