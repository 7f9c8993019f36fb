/**
 * Reconciliation, the deciding part: what one look at the world says about every lease, endpoint, link, claim and
 * network of this host. Pure. `reconciler.ts` takes two looks and acts only where both say the same.
 *
 * The rule: something is free only if NOTHING uses it: not the engine, not a sandbox in the kernel, not a request
 * that may be under way. Whatever is unclear is kept.
 */

import { endpointIdOfAlias, shortId } from '../core/ids.ts';
import { type Cidr, cidrHas, formatCidr, formatIp, parseCidr, parseIp } from '../core/ip.ts';
import type { EngineContainer, EngineEndpoint, EngineNetwork } from '../engine/port.ts';
import type { LinkInfo } from '../net/port.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { addressesOf } from './holders.ts';
import type { Decision } from './inventory.ts';
import type { HeldLease } from './lease-table.ts';

/** Everything that one look saw, all of it at about the same time. */
export interface Look {
  /** Of this host, as etcd has them. */
  readonly leases: readonly (HeldLease & { readonly busy: boolean })[];
  readonly endpoints: readonly EndpointRecord[];
  readonly networks: readonly NetworkRecord[];
  readonly claims: readonly ClaimRecord[];
  /** Links of the host's namespace that bear our mark. */
  readonly links: readonly LinkInfo[];
  /** Endpoint ids whose link is up inside a living sandbox. */
  readonly inSandbox: ReadonlySet<string>;
  readonly engineNetworks: readonly EngineNetwork[];
  readonly engineContainers: readonly EngineContainer[];
  /** Wall clock of this host, milliseconds. */
  readonly wallMs: number;
}

export interface PlanContext {
  /** This daemon process. */
  readonly instance: string;
  /** How long a request of a living engine may take to show, in milliseconds. */
  readonly graceMs: number;
  /** When the engine was last lost, wall clock; what it asked before that it has forgotten. */
  readonly engineLostAtMs: number | undefined;
  /** Start of this daemon, wall clock. */
  readonly startedAtMs: number;
}

/** A decision with what must not have changed until it is carried out. */
export type Verdict = Decision &
  (
    | { readonly kind: 'lease'; readonly lease: HeldLease; readonly seen: string }
    | { readonly kind: 'endpoint'; readonly endpoint: EndpointRecord; readonly seen: string }
    | { readonly kind: 'link'; readonly link: LinkInfo; readonly seen: string }
    | { readonly kind: 'claim'; readonly claim: ClaimRecord; readonly seen: string }
    | { readonly kind: 'network'; readonly network: NetworkRecord; readonly seen: string }
  );

interface Judgement {
  readonly action: Decision['action'];
  readonly reason: string;
}

export function plan(look: Look, context: PlanContext): Verdict[] {
  const world = worldOf(look);
  return [
    ...look.leases.map((lease): Verdict => {
      const seen = `${lease.modRevision}`;
      return {
        kind: 'lease',
        object: formatIp(lease.address),
        lease,
        seen,
        ...judgeLease(lease, world, look, context),
      };
    }),
    ...look.endpoints.map((endpoint): Verdict => {
      const seen = JSON.stringify(endpoint);
      return {
        kind: 'endpoint',
        object: shortId(endpoint.endpointId),
        endpoint,
        seen,
        ...withLease(endpoint, world, judgeEndpoint(endpoint, world, look, context)),
      };
    }),
    ...look.links.map(
      (link): Verdict => ({
        kind: 'link',
        object: link.name,
        link,
        seen: `${link.linkIndex}`,
        ...judgeLink(link, world),
      }),
    ),
    ...look.networks.map((network): Verdict => {
      const seen = network.networkId;
      return {
        kind: 'network',
        object: shortId(network.networkId),
        network,
        seen,
        ...judgeNetwork(network, world, look, context),
      };
    }),
    ...look.claims.map((claim): Verdict => {
      const seen = `${claim.networkId}`;
      return { kind: 'claim', object: claim.poolId, claim, seen, ...judgeClaim(claim, world, look, context) };
    }),
  ];
}

/** The verdicts of the second look that the first one shares; only these may be acted on. */
export function agreed(first: readonly Verdict[], second: readonly Verdict[]): Verdict[] {
  const before = new Map(first.map((verdict) => [`${verdict.kind} ${verdict.object}`, verdict]));
  return second.filter((verdict) => {
    const earlier = before.get(`${verdict.kind} ${verdict.object}`);
    return earlier?.action === verdict.action && earlier.seen === verdict.seen;
  });
}

interface World {
  readonly networkIds: ReadonlySet<string>;
  readonly engineEndpoints: ReadonlyMap<string, EngineEndpoint>;
  readonly records: ReadonlyMap<string, EndpointRecord>;
  /** Who has an address, by `<pool> <address>`. */
  readonly usedBy: ReadonlyMap<string, string>;
  /** More than one if the end of an earlier endpoint was lost and its address given out again. */
  readonly recordsOf: ReadonlyMap<string, readonly EndpointRecord[]>;
  /** Addresses that have a lease in etcd. */
  readonly leased: ReadonlySet<string>;
  readonly subnetsOfEngine: readonly string[];
}

function worldOf(look: Look): World {
  const engineEndpoints = new Map<string, EngineEndpoint>();
  const usedBy = new Map<string, string>();
  const networks = new Map(look.engineNetworks.map((network) => [network.networkId, network]));
  const use = (endpoint: EngineEndpoint, name: string): void => {
    const network = networks.get(endpoint.networkId);
    if (network === undefined) return;
    if (endpoint.endpointId !== '') engineEndpoints.set(endpoint.endpointId, endpoint);
    const subnets = network.subnets.map((subnet) => parseCidr(subnet));
    for (const text of [endpoint.ipv4, endpoint.ipv6]) {
      if (text === undefined || text === '') continue;
      const address = parseIp(text);
      const subnet = subnets.find((candidate) => cidrHas(candidate, address));
      if (subnet !== undefined) usedBy.set(addressKey(subnet, formatIp(address)), name);
    }
  };
  for (const network of look.engineNetworks) {
    for (const endpoint of network.endpoints)
      use(endpoint, endpoint.containerName ?? shortId(endpoint.endpointId));
  }
  for (const container of look.engineContainers) {
    for (const endpoint of container.endpoints) use(endpoint, container.name);
  }
  const recordsOf = new Map<string, EndpointRecord[]>();
  for (const record of look.endpoints) {
    for (const { subnet, address } of addressesOf(record)) {
      const key = addressKey(subnet, formatIp(address));
      recordsOf.set(key, [...(recordsOf.get(key) ?? []), record]);
    }
  }
  return {
    networkIds: new Set(networks.keys()),
    engineEndpoints,
    records: new Map(look.endpoints.map((record) => [record.endpointId, record])),
    usedBy,
    recordsOf,
    leased: new Set(look.leases.map(({ subnet, address }) => addressKey(subnet, formatIp(address)))),
    subnetsOfEngine: look.engineNetworks.flatMap((network) => network.subnets),
  };
}

function judgeLease(
  lease: Look['leases'][number],
  world: World,
  look: Look,
  context: PlanContext,
): Judgement {
  if (lease.busy) return { action: 'wait', reason: 'a request on it is under way' };
  const key = addressKey(lease.subnet, formatIp(lease.address));
  const user = world.usedBy.get(key);
  if (user !== undefined) return { action: 'keep', reason: `the engine shows it at ${user}` };
  let why = 'no container, endpoint or sandbox uses it';
  for (const record of world.recordsOf.get(key) ?? []) {
    const { action, reason } = judgeEndpoint(record, world, look, context);
    const endpoint = `endpoint ${shortId(record.endpointId)}`;
    if (action !== 'delete')
      return { action: action === 'wait' ? 'wait' : 'keep', reason: `${endpoint}: ${reason}` };
    why = `its ${endpoint} is gone: ${reason}`;
  }
  if (lease.value.endpointId !== undefined && look.inSandbox.has(lease.value.endpointId)) {
    return { action: 'keep', reason: 'its link is up in a sandbox' };
  }
  const mine = lease.value.request.startsWith(`${context.instance}.`);
  if (mine && lease.value.state === 'pending' && isYoung(lease.value.at, look, context)) {
    return { action: 'wait', reason: 'its endpoint may still come' };
  }
  return { action: 'free', reason: why };
}

function judgeEndpoint(record: EndpointRecord, world: World, look: Look, context: PlanContext): Judgement {
  if (world.engineEndpoints.has(record.endpointId)) return { action: 'keep', reason: 'the engine knows it' };
  if (look.inSandbox.has(record.endpointId)) return { action: 'keep', reason: 'its link is up in a sandbox' };
  if (record.instance === context.instance && isYoung(record.createdAt, look, context)) {
    return { action: 'wait', reason: 'the engine may still be starting it' };
  }
  return { action: 'delete', reason: 'the engine does not know it' };
}

/** A living endpoint whose lease etcd has lost gets it again, or its address would be given to another, too. */
function withLease(record: EndpointRecord, world: World, judged: Judgement): Judgement {
  if (judged.action !== 'keep') return judged;
  const lost = addressesOf(record).find(
    ({ subnet, address }) => !world.leased.has(addressKey(subnet, formatIp(address))),
  );
  if (lost === undefined) return judged;
  return { action: 'adopt', reason: `${judged.reason}, but etcd has no lease of ${formatIp(lost.address)}` };
}

function judgeLink(link: LinkInfo, world: World): Judgement {
  const endpointId = endpointIdOfAlias(link.alias ?? '') ?? '';
  if (world.engineEndpoints.has(endpointId))
    return { action: 'keep', reason: 'the engine knows its endpoint' };
  if (world.records.has(endpointId)) return { action: 'keep', reason: 'it goes with its endpoint' };
  return { action: 'delete', reason: 'it bears our mark and no endpoint has it' };
}

function judgeNetwork(network: NetworkRecord, world: World, look: Look, context: PlanContext): Judgement {
  if (world.networkIds.has(network.networkId)) return { action: 'keep', reason: 'the engine knows it' };
  if (look.endpoints.some((endpoint) => endpoint.networkId === network.networkId))
    return { action: 'keep', reason: 'it has endpoints' };
  if (isRecent(network.createdAt, look, context))
    return { action: 'wait', reason: 'the engine may still be making it' };
  return { action: 'delete', reason: 'the engine does not know it' };
}

function judgeClaim(claim: ClaimRecord, world: World, look: Look, context: PlanContext): Judgement {
  // Not by its network alone: two networks that were made at once on one subnet may have each other's claim.
  if (world.subnetsOfEngine.some((text) => formatCidr(parseCidr(text)) === claim.subnet)) {
    return { action: 'keep', reason: 'a network of the engine has this subnet' };
  }
  if (isRecent(claim.createdAt, look, context))
    return { action: 'wait', reason: 'its network may still be under way' };
  return { action: 'delete', reason: 'no network of the engine stands behind it' };
}

/** Asked for a short time ago by an engine that still lives. */
function isYoung(atMs: number, look: Look, context: PlanContext): boolean {
  if (context.engineLostAtMs !== undefined && atMs < context.engineLostAtMs) return false;
  return isWithin(look.wallMs - atMs, context.graceMs);
}

/** Also the time before this daemon's start does not count: the engine repeats calls for some seconds. */
function isRecent(atMs: number, look: Look, context: PlanContext): boolean {
  const { graceMs, startedAtMs } = context;
  return isWithin(look.wallMs - atMs, graceMs) || isWithin(look.wallMs - startedAtMs, graceMs);
}

/** What lies far in the future was written before the clock was set back, and must not be waited for until then. */
function isWithin(ageMs: number, graceMs: number): boolean {
  return Math.abs(ageMs) < graceMs;
}

function addressKey(subnet: Cidr, address: string): string {
  return `${formatCidr(subnet)} ${address}`;
}
