/**
 * Reconciliation, the looking part: asks the engine, etcd, the kernel and the records, in an order that lets nothing
 * new appear unused. Changes nothing; any source that does not answer makes the look fail.
 */
import type { Clock } from '../../core/clock.ts';
import { endpointIdOfAlias } from '../../core/ids.ts';
import type { Cidr, IpAddress } from '../../core/ip.ts';
import type { EnginePort } from '../../engine/port.ts';
import type { NetPort } from '../../net/port.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import type { RecordStore } from '../../store/records.ts';
import { addressKey } from '../address/address-key.ts';
import type { Leases } from '../lease/leases.ts';
import type { OwnIndex } from './own-index.ts';
import { type Look, usedAddresses } from './reconcile-world.ts';

export interface LookDependencies {
  readonly ownIndex: OwnIndex;
  readonly leases: Pick<Leases, 'busy' | 'list' | 'ownerOf'>;
  /** Absent: this host keeps no stock. */
  readonly warmStock?: { has(subnet: Cidr, address: IpAddress): boolean };
  readonly networks: RecordStore<NetworkRecord>;
  readonly endpoints: RecordStore<EndpointRecord>;
  readonly claims: RecordStore<ClaimRecord>;
  readonly engine: EnginePort;
  readonly net: NetPort;
  readonly clock: Clock;
}

/** A look, and what the next one need not compare again. */
export interface LookResult {
  readonly look: Look;
  readonly sound: ReadonlySet<string>;
}

/** @throws EngineUnavailable, StoreUnavailable, KernelError: then nothing may be decided */
export async function lookAround(
  deps: LookDependencies,
  engineTimeoutMs: number,
  trusted?: ReadonlySet<string>,
): Promise<LookResult> {
  const { ownIndex, leases, warmStock, networks, endpoints, claims, engine, net, clock } = deps;
  // The engine first: what it does not show yet then has a lease or record that is looked at later, and stays.
  const [engineNetworks, engineContainers] = await Promise.all([
    engine.networks(engineTimeoutMs),
    engine.containers(engineTimeoutMs),
  ]);
  const records = endpoints.list();
  const used = usedAddresses({ engineNetworks, engineContainers }, records);
  // Before etcd is read: what memory has now, etcd has had.
  const believed = leases.list();
  const [own, links, inSandbox] = await Promise.all([
    ownIndex.read(used, trusted),
    net.linkList(),
    endpointsInSandboxes(records, net),
  ]);
  // The host's end of a pair has carrier as long as the other end is up in a sandbox, which no record need know.
  for (const { kind, carrier, alias } of links) {
    const endpointId = kind === 'veth' && carrier ? endpointIdOfAlias(alias ?? '') : undefined;
    if (endpointId !== undefined) inSandbox.add(endpointId);
  }
  const found = new Set(own.leases.map(addressKey));
  const look: Look = {
    leases: own.leases.map((lease) => {
      const { subnet, address } = lease;
      const owner = leases.ownerOf(subnet, address);
      return {
        ...lease,
        busy: leases.busy(subnet, address),
        stocked: warmStock?.has(subnet, address) ?? false,
        ...(owner === undefined ? {} : { owner }),
      };
    }),
    believed: believed.filter(
      (held) => !found.has(addressKey(held)) && !leases.busy(held.subnet, held.address),
    ),
    faults: own.faults,
    others: own.others,
    endpoints: records,
    networks: networks.list(),
    claims: claims.list(),
    links: links.filter((link) => endpointIdOfAlias(link.alias ?? '') !== undefined),
    inSandbox,
    engineNetworks,
    engineContainers,
    wallMs: clock.wall(),
  };
  return { look, sound: own.sound };
}

/** Endpoints whose link is in the sandbox that Join named; also one that its container has set down, and can set up again. */
async function endpointsInSandboxes(records: readonly EndpointRecord[], net: NetPort): Promise<Set<string>> {
  const found = new Set<string>();
  const sandboxes = new Map<string, ReadonlySet<string>>();
  for (const { endpointId, sandboxKey } of records) {
    if (sandboxKey === undefined) continue;
    const inside = sandboxes.get(sandboxKey) ?? (await endpointsIn(sandboxKey, net));
    sandboxes.set(sandboxKey, inside);
    if (inside.has(endpointId)) found.add(endpointId);
  }
  return found;
}

async function endpointsIn(sandboxKey: string, net: NetPort): Promise<ReadonlySet<string>> {
  const links = (await net.linkListIn(sandboxKey)) ?? [];
  return new Set(links.map(({ alias }) => endpointIdOfAlias(alias ?? '') ?? '').filter((id) => id !== ''));
}
