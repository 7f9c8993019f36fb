/**
 * Reconciliation, the deciding part: what one look at the world says about every lease, endpoint, link, claim,
 * network and index entry of this host. Pure. `reconciler.ts` takes two looks and acts only where both say the same.
 * docs/reconciliation.md has the decisions as a table.
 *
 * The rule: something is free only if NOTHING uses it: not the engine, not a sandbox in the kernel, not a request
 * that may be under way. Whatever is unclear is kept.
 */
import { endpointIdOfAlias, shortId } from '../../core/ids.ts';
import { formatCidr, formatIp } from '../../core/ip.ts';
import type { LinkInfo } from '../../net/port.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import { addressKey, type PoolAddress } from '../address/address-key.ts';
import type { LeaseHolder } from '../address-service.ts';
import type { Decision } from '../inventory.ts';
import { holderText } from '../lease/lease-steps.ts';
import type { HeldLease } from '../lease/lease-table.ts';
import type { IndexFault } from './own-index.ts';
import { type EngineUse, type Look, type LookedAtLease, type World, worldOf } from './reconcile-world.ts';

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
export type Verdict = Decision & { readonly seen: string } & (
    | { readonly kind: 'lease'; readonly lease: LookedAtLease; readonly holder?: LeaseHolder }
    /** Used here, and no lease of this host. */
    | { readonly kind: 'lease'; readonly lost: PoolAddress }
    /** In memory, and nowhere else. */
    | { readonly kind: 'lease'; readonly believed: HeldLease }
    | { readonly kind: 'index'; readonly fault: IndexFault }
    | { readonly kind: 'endpoint'; readonly endpoint: EndpointRecord }
    | { readonly kind: 'link'; readonly link: LinkInfo }
    | { readonly kind: 'claim'; readonly claim: ClaimRecord }
    | { readonly kind: 'network'; readonly network: NetworkRecord }
  );

interface Judgement {
  readonly action: Decision['action'];
  readonly reason: string;
}

/** A lease that is used this long after it was asked for, and still is not bound: the note of its holder was lost. */
const UNBOUND_MS = 120_000;

export function plan(look: Look, context: PlanContext): Verdict[] {
  const world = worldOf(look);
  const leases = look.leases.map((lease): Verdict => {
    const seen = `${lease.modRevision} ${lease.owner ?? ''}`;
    const object = formatIp(lease.address);
    return { kind: 'lease', object, lease, seen, ...judgeLease(lease, world, look, context) };
  });
  const freed = new Set(leases.flatMap(({ action, object }) => (action === 'free' ? [object] : [])));
  return [
    ...leases,
    ...judgeUnleased(world, look, context),
    ...look.faults.map(
      (fault): Verdict => ({
        kind: 'index',
        object: formatIp(fault.at.address),
        fault,
        seen: `${fault.fault === 'stray' ? fault.indexRevision : fault.held.modRevision}`,
        ...judgeFault(fault, freed),
      }),
    ),
    ...look.endpoints.map((endpoint): Verdict => {
      const seen = JSON.stringify(endpoint);
      const object = shortId(endpoint.endpointId);
      return { kind: 'endpoint', object, endpoint, seen, ...judgeEndpoint(endpoint, world, look, context) };
    }),
    ...look.links.map((link): Verdict => {
      const seen = `${link.linkIndex}`;
      return { kind: 'link', object: link.name, link, seen, ...judgeLink(link, world) };
    }),
    ...look.networks.map((network): Verdict => {
      const seen = network.networkId;
      const object = shortId(network.networkId);
      return { kind: 'network', object, network, seen, ...judgeNetwork(network, world, look, context) };
    }),
    ...look.claims.map((claim): Verdict => {
      const seen = `${claim.networkId}`;
      return { kind: 'claim', object: claim.poolId, claim, seen, ...judgeClaim(claim, world, look, context) };
    }),
  ];
}

/** Whether something is to be done, after a second look that agrees. */
export function isChange({ action }: Pick<Decision, 'action'>): boolean {
  return action !== 'keep' && action !== 'wait' && action !== 'conflict';
}

/** The verdicts of the second look that the first one shares; only these may be acted on. */
export function agreed(first: readonly Verdict[], second: readonly Verdict[]): Verdict[] {
  const before = new Map(first.map((verdict) => [`${verdict.kind} ${verdict.object}`, verdict]));
  return second.filter((verdict) => {
    const earlier = before.get(`${verdict.kind} ${verdict.object}`);
    return earlier?.action === verdict.action && earlier.seen === verdict.seen;
  });
}

function judgeLease(
  lease: LookedAtLease,
  world: World,
  look: Look,
  context: PlanContext,
): Judgement & { readonly holder?: LeaseHolder } {
  if (lease.busy) return { action: 'wait', reason: 'a request on it is under way' };
  const key = addressKey(lease);
  const use = world.uses.get(key);
  if (use !== undefined)
    return used(lease, `the engine shows it at ${use.name}`, holderOf(use, world), look, context);
  let why = 'no container, endpoint or sandbox uses it';
  for (const record of world.recordsOf.get(key)?.records ?? []) {
    const { action, reason } = judgeEndpoint(record, world, look, context);
    const endpoint = `endpoint ${shortId(record.endpointId)}`;
    if (action === 'wait') return { action, reason: `${endpoint}: ${reason}` };
    if (action !== 'delete')
      return used(lease, `${endpoint}: ${reason}`, holderOfRecord(record), look, context);
    why = `its ${endpoint} is gone: ${reason}`;
  }
  if (lease.value.endpointId !== undefined && look.inSandbox.has(lease.value.endpointId)) {
    return { action: 'keep', reason: 'its link is in a sandbox' };
  }
  const mine = isOf(lease, context);
  if (lease.value.state === 'warm') {
    if (mine && lease.stocked) return { action: 'keep', reason: 'it is in stock for the next container' };
    // The earlier process may have given it to a container just before its end.
    if (!mine && isWithin(look.wallMs - context.startedAtMs, context.graceMs))
      return { action: 'wait', reason: 'it was in stock of an earlier process, and may have been given out' };
  }
  if (mine && lease.value.state === 'pending' && isYoung(lease.value.at, look, context)) {
    return { action: 'wait', reason: 'its endpoint may still come' };
  }
  return { action: 'free', reason: why };
}

/** A lease in use is kept; if it does not say so itself, because a crash came between, that is written now. */
function used(
  lease: LookedAtLease,
  reason: string,
  holder: LeaseHolder | undefined,
  look: Look,
  context: PlanContext,
): Judgement & { readonly holder?: LeaseHolder } {
  const { state, at } = lease.value;
  const soon = isOf(lease, context) && isWithin(look.wallMs - at, Math.max(context.graceMs, UNBOUND_MS));
  if (state === 'bound' || holder === undefined || soon) return { action: 'keep', reason };
  return { action: 'bind', reason: `${reason}, and the lease does not say so`, holder };
}

/** @returns undefined while the container is being started */
function holderOf({ endpoint }: EngineUse, world: World): LeaseHolder | undefined {
  const { endpointId, networkId, containerId, containerName, macAddress } = endpoint;
  const record = world.records.get(endpointId);
  if (containerId === undefined || endpointId === '') return undefined;
  return {
    endpointId,
    networkId,
    macAddress: record?.macAddress ?? macAddress ?? '',
    containerId,
    ...(containerName === undefined ? {} : { containerName }),
  };
}

function holderOfRecord({ endpointId, networkId, macAddress }: EndpointRecord): LeaseHolder {
  return { endpointId, networkId, macAddress };
}

/** What lives here and has no lease of this host: taken again if nobody has it, else people must know. */
function judgeUnleased(world: World, look: Look, context: PlanContext): Verdict[] {
  const living = new Map<string, { readonly at: PoolAddress; readonly who: string; readonly why: string }>();
  for (const [key, { at, records }] of world.recordsOf) {
    if (world.leased.has(key)) continue;
    for (const record of records) {
      const { action, reason } = judgeEndpoint(record, world, look, context);
      if (action === 'keep')
        living.set(key, {
          at,
          who: record.endpointId,
          why: `endpoint ${shortId(record.endpointId)}: ${reason}`,
        });
    }
  }
  // Without a claim the network has its addresses from somebody else.
  const claimed = new Set(look.claims.map(({ subnet }) => subnet));
  for (const [key, { at, name, endpoint, lives }] of world.uses) {
    if (lives && !world.leased.has(key) && claimed.has(formatCidr(at.subnet)))
      living.set(key, { at, who: endpoint.endpointId, why: `the engine shows it at ${name}` });
  }
  const forgotten = look.believed.flatMap((believed): Verdict[] => {
    if (living.has(addressKey(believed))) return [];
    const reason = 'this daemon believed that it holds it, and etcd has no such lease';
    const object = formatIp(believed.address);
    return [{ kind: 'lease', object, believed, seen: believed.value.request, action: 'delete', reason }];
  });
  const taken = [...living].map(([key, { at, who, why }]): Verdict => {
    const object = formatIp(at.address);
    const other = look.others.get(key);
    if (other === undefined) {
      const reason = `${why}, but this host has no lease of it in etcd`;
      // By endpoint: where containers come and go, each look may meet another one between its release and its end.
      return { kind: 'lease', object, lost: at, seen: who, action: 'adopt', reason };
    }
    const reason = `${why}, but in etcd ${holderText(other)}`;
    return { kind: 'lease', object, lost: at, seen: other.request, action: 'conflict', reason };
  });
  return [...taken, ...forgotten];
}

function judgeFault(fault: IndexFault, freed: ReadonlySet<string>): Judgement {
  switch (fault.fault) {
    case 'stray': {
      const who = fault.other === undefined ? 'there is no such lease' : holderText(fault.other);
      return { action: 'delete', reason: `the index of this host has it, but ${who}` };
    }
    case 'missing':
    case 'different':
      if (freed.has(formatIp(fault.at.address)))
        return { action: 'keep', reason: 'its entry goes with the lease' };
      return fault.fault === 'missing'
        ? { action: 'repair', reason: 'the lease is of this host, but its index does not have it' }
        : { action: 'repair', reason: 'the index of this host says something else than the lease' };
  }
}

function judgeEndpoint(record: EndpointRecord, world: World, look: Look, context: PlanContext): Judgement {
  if (world.engineEndpoints.has(record.endpointId)) return { action: 'keep', reason: 'the engine knows it' };
  if (look.inSandbox.has(record.endpointId)) return { action: 'keep', reason: 'its link is in a sandbox' };
  if (record.instance === context.instance && isYoung(record.createdAt, look, context)) {
    return { action: 'wait', reason: 'the engine may still be starting it' };
  }
  return { action: 'delete', reason: 'the engine does not know it' };
}

function judgeLink(link: LinkInfo, world: World): Judgement {
  const endpointId = endpointIdOfAlias(link.alias ?? '');
  if (endpointId === undefined) return { action: 'keep', reason: 'it is not of an endpoint' };
  if (world.engineEndpoints.has(endpointId))
    return { action: 'keep', reason: 'the engine knows its endpoint' };
  if (world.records.has(endpointId)) return { action: 'keep', reason: 'it goes with its endpoint' };
  // Deleting the end of a veth pair would cut off the other one, which nobody has set up but an engine.
  if (link.kind === 'veth' && link.carrier)
    return { action: 'keep', reason: 'its other end is up in a sandbox' };
  return { action: 'delete', reason: 'it bears our mark and no endpoint has it' };
}

function judgeNetwork(network: NetworkRecord, world: World, look: Look, context: PlanContext): Judgement {
  if (world.networkIds.has(network.networkId)) return { action: 'keep', reason: 'the engine knows it' };
  if (world.networksInUse.has(network.networkId)) return { action: 'keep', reason: 'it has endpoints' };
  if (isRecent(network.createdAt, look, context))
    return { action: 'wait', reason: 'the engine may still be making it' };
  return { action: 'delete', reason: 'the engine does not know it' };
}

function judgeClaim(claim: ClaimRecord, world: World, look: Look, context: PlanContext): Judgement {
  // Not by its network alone: two networks that were made at once on one subnet may have each other's claim.
  if (world.subnetsOfEngine.has(claim.subnet)) {
    return { action: 'keep', reason: 'a network of the engine has this subnet' };
  }
  if (world.subnetsInUse.has(claim.subnet)) return { action: 'keep', reason: 'it has endpoints' };
  if (isRecent(claim.createdAt, look, context))
    return { action: 'wait', reason: 'its network may still be under way' };
  return { action: 'delete', reason: 'no network of the engine stands behind it' };
}

/** This process asked for it. */
function isOf({ value }: HeldLease, { instance }: PlanContext): boolean {
  return value.request.startsWith(`${instance}.`);
}

/** Asked for a short time ago by an engine that still lives. */
function isYoung(atMs: number, look: Look, context: PlanContext): boolean {
  const { engineLostAtMs } = context;
  // A loss in the future was noted before the clock was set back, and says nothing of what came after.
  if (engineLostAtMs !== undefined && engineLostAtMs <= look.wallMs && atMs < engineLostAtMs) return false;
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
