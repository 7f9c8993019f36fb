/**
 * What one look of reconciliation saw, and the same arranged for questions: who uses an address. Pure.
 * `reconcile-look.ts` looks, `reconcile-plan.ts` asks.
 */
import { shortId } from '../../core/ids.ts';
import { type Cidr, cidrHas, formatCidr, parseCidr, parseIp } from '../../core/ip.ts';
import type { EngineContainer, EngineEndpoint, EngineNetwork } from '../../engine/port.ts';
import type { LinkInfo } from '../../net/port.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import type { LeaseValue } from '../../store/schema.ts';
import { addressKey, type PoolAddress } from '../address/address-key.ts';
import type { HeldLease } from '../lease/lease-table.ts';
import { addressesOf } from './holders.ts';
import type { IndexFault } from './own-index.ts';

/** What the engine shows. */
export interface EngineView {
  readonly engineNetworks: readonly EngineNetwork[];
  readonly engineContainers: readonly EngineContainer[];
}

export interface LookedAtLease extends HeldLease {
  /** A request on it is under way. */
  readonly busy: boolean;
  /** This process has it in its warm stock, or took it out a moment ago. */
  readonly stocked: boolean;
  /** The endpoint that has it, as memory knows; etcd is told later. */
  readonly owner?: string;
}

/** Everything that one look saw, all of it at about the same time. */
export interface Look extends EngineView {
  /** Of this host, as etcd has them. */
  readonly leases: readonly LookedAtLease[];
  /** Leases that memory believes in and etcd does not have: of before etcd lost data. */
  readonly believed: readonly HeldLease[];
  readonly faults: readonly IndexFault[];
  /** Who has the addresses that are used here without a lease of this host, by address key. */
  readonly others: ReadonlyMap<string, LeaseValue>;
  readonly endpoints: readonly EndpointRecord[];
  readonly networks: readonly NetworkRecord[];
  readonly claims: readonly ClaimRecord[];
  /** Links of the host's namespace that bear our mark. */
  readonly links: readonly LinkInfo[];
  /** Endpoint ids whose link is inside a sandbox. */
  readonly inSandbox: ReadonlySet<string>;
  /** Wall clock of this host, milliseconds. */
  readonly wallMs: number;
}

/** An address that the engine shows at an endpoint of ours. */
export interface EngineUse {
  readonly at: PoolAddress;
  /** For people. */
  readonly name: string;
  readonly endpoint: EngineEndpoint;
  /** False for a container that did not start: the engine goes on showing the address that it gave back. */
  readonly lives: boolean;
}

export interface RecordsAt {
  readonly at: PoolAddress;
  readonly records: readonly EndpointRecord[];
}

/** States of a container in which it has its network. */
const LIVING = ['running', 'paused'];

export interface World {
  readonly networkIds: ReadonlySet<string>;
  readonly engineEndpoints: ReadonlyMap<string, EngineEndpoint>;
  /** By address key. */
  readonly uses: ReadonlyMap<string, EngineUse>;
  readonly records: ReadonlyMap<string, EndpointRecord>;
  /** By address key; more than one record if the end of an earlier endpoint was lost and its address given out again. */
  readonly recordsOf: ReadonlyMap<string, RecordsAt>;
  /** Addresses that have a lease of this host in etcd. */
  readonly leased: ReadonlySet<string>;
  readonly subnetsOfEngine: ReadonlySet<string>;
  readonly networksInUse: ReadonlySet<string>;
  /** That endpoints of this host have addresses of. */
  readonly subnetsInUse: ReadonlySet<string>;
}

export function worldOf(look: Look): World {
  const recordsOf = new Map<string, { readonly at: PoolAddress; readonly records: EndpointRecord[] }>();
  const inUse = new Map<string, Cidr>();
  for (const record of look.endpoints) {
    for (const at of addressesOf(record)) {
      const key = addressKey(at);
      inUse.set(key.slice(0, key.lastIndexOf(' ')), at.subnet);
      const others = recordsOf.get(key);
      if (others === undefined) recordsOf.set(key, { at, records: [record] });
      else others.records.push(record);
    }
  }
  const subnets = look.engineNetworks.flatMap((network) => network.subnets);
  return {
    networkIds: new Set(look.engineNetworks.map(({ networkId }) => networkId)),
    ...engineUses(look),
    records: new Map(look.endpoints.map((record) => [record.endpointId, record])),
    recordsOf,
    leased: new Set(look.leases.map(addressKey)),
    subnetsOfEngine: new Set(subnets.map((text) => formatCidr(parseCidr(text)))),
    networksInUse: new Set(look.endpoints.map(({ networkId }) => networkId)),
    subnetsInUse: new Set([...inUse.values()].map(formatCidr)),
  };
}

/** Addresses that the engine or a record names: each of them should have a lease. */
export function usedAddresses(view: EngineView, endpoints: readonly EndpointRecord[]): PoolAddress[] {
  const used = new Map<string, PoolAddress>();
  for (const [key, { at }] of engineUses(view).uses) used.set(key, at);
  for (const at of endpoints.flatMap(addressesOf)) used.set(addressKey(at), at);
  return [...used.values()];
}

function engineUses({
  engineNetworks,
  engineContainers,
}: EngineView): Pick<World, 'engineEndpoints' | 'uses'> {
  const engineEndpoints = new Map<string, EngineEndpoint>();
  const uses = new Map<string, EngineUse>();
  const subnetsOf = new Map(
    engineNetworks.map(({ networkId, subnets }) => [networkId, subnets.map((text) => parseCidr(text))]),
  );
  const use = (endpoint: EngineEndpoint, name: string, lives: boolean): void => {
    const subnets = subnetsOf.get(endpoint.networkId);
    if (subnets === undefined) return;
    if (endpoint.endpointId !== '') engineEndpoints.set(endpoint.endpointId, endpoint);
    for (const text of [endpoint.ipv4, endpoint.ipv6]) {
      if (text === undefined || text === '') continue;
      const address = parseIp(text);
      const subnet = subnets.find((candidate) => cidrHas(candidate, address));
      if (subnet === undefined) continue;
      const at = { subnet, address };
      const key = addressKey(at);
      uses.set(key, { at, name, endpoint, lives: lives || uses.get(key)?.lives === true });
    }
  };
  // Containers last: they know the container's id in every state.
  for (const network of engineNetworks) {
    for (const endpoint of network.endpoints)
      use(endpoint, endpoint.containerName ?? shortId(endpoint.endpointId), true);
  }
  for (const container of engineContainers) {
    const lives = LIVING.includes(container.state);
    for (const endpoint of container.endpoints) use(endpoint, container.name, lives);
  }
  return { engineEndpoints, uses };
}
