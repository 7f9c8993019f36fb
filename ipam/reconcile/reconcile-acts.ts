/**
 * Reconciliation, the acting part: carries out what two looks have agreed on. Each act compares what was seen, so one
 * that comes too late does nothing; one that fails does not keep the others from being done.
 */
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { failpoint } from '../../core/failpoint.ts';
import { endpointIdOfAlias, hostEndNameOf, hostIfbNameOf } from '../../core/ids.ts';
import type { Logger } from '../../core/log.ts';
import type { EndpointRecord } from '../../store/host-records.ts';
import { addressKey } from '../address/address-key.ts';
import type { Committer } from '../commit/committer.ts';
import type { Leases } from '../lease/leases.ts';
import type { ClaimBook } from '../pool/claim-book.ts';
import { addressesOf } from './holders.ts';
import type { LookDependencies } from './reconcile-look.ts';
import type { Verdict } from './reconcile-plan.ts';

const TIME_MS = 30_000;
/** Leases on their way to etcd at once: full transactions, and a container that starts meanwhile waits for few. */
const AT_ONCE = 240;
/** More acts of one sort than this are told in one line. */
const TOLD_SINGLY = 20;

export interface ActDependencies extends Omit<LookDependencies, 'leases'> {
  readonly leases: Pick<
    Leases,
    'busy' | 'list' | 'get' | 'ownerOf' | 'forget' | 'restore' | 'releaseIfUnchanged' | 'noteHolder'
  >;
  readonly committer: Pick<Committer, 'submit'>;
  readonly claimBook: Pick<ClaimBook, 'drop' | 'sweep'>;
  /** Records of endpoints have been deleted: what else hangs on them may go. Returns at once. */
  readonly endpointsGone?: () => void;
  /** The record of a network has been deleted: what it stood on may go, and what it carried is no more. Returns at once. */
  readonly networkGone?: (networkId: string) => void;
  readonly logger: Logger;
}

/** @throws the first failure, when all has been tried */
export async function actOn(verdicts: readonly Verdict[], deps: ActDependencies): Promise<void> {
  const deadline = deadlineAfter(TIME_MS, deps.clock);
  const failures: unknown[] = [];
  const stuck = new Set<string>();
  const done: Verdict[] = [];
  const attempt = async (verdict: Verdict): Promise<void> => {
    try {
      await carryOut(verdict, deps, deadline);
      done.push(verdict);
    } catch (error) {
      failures.push(error);
      if (verdict.kind === 'endpoint')
        for (const at of addressesOf(verdict.endpoint)) stuck.add(addressKey(at));
    }
  };
  // Endpoints before leases: a lease is free only when its endpoint is gone.
  for (const verdict of verdicts)
    if (verdict.kind === 'endpoint' || verdict.kind === 'link') await attempt(verdict);
  if (done.some(({ kind }) => kind === 'endpoint')) deps.endpointsGone?.();
  const isStuck = (verdict: Verdict): boolean =>
    verdict.kind === 'lease' && 'lease' in verdict && stuck.has(addressKey(verdict.lease));
  await someAtOnce(
    verdicts.filter((verdict) => (verdict.kind === 'lease' || verdict.kind === 'index') && !isStuck(verdict)),
    attempt,
  );
  for (const verdict of verdicts)
    if (verdict.kind === 'claim' || verdict.kind === 'network') await attempt(verdict);
  tell(done, deps.logger);
  if (failures.length > 0) throw failures[0];
}

async function carryOut(verdict: Verdict, deps: ActDependencies, deadline: Deadline): Promise<void> {
  const { claimBook, networks, endpoints, net, committer, ownIndex, leases } = deps;
  switch (verdict.kind) {
    case 'endpoint':
      await deleteLinkOf(verdict.endpoint, deps);
      await endpoints.delete(verdict.endpoint.endpointId);
      failpoint('reconcile.after-endpoint');
      return;
    case 'link':
      await net.linkDelete(verdict.link.name);
      return;
    case 'lease':
      await actOnLease(verdict, deps, deadline);
      return;
    case 'index': {
      await committer.submit({ ...ownIndex.repairOf(verdict.fault), deadline });
      const { subnet, address } = verdict.fault.at;
      // Its revision has moved; memory must know, or its next change would compare the old one.
      if (verdict.action === 'repair') await leases.restore(subnet, address, deadline);
      return;
    }
    case 'claim':
      await claimBook.drop(verdict.claim.poolId, deadline);
      return;
    case 'network':
      await networks.delete(verdict.network.networkId);
      deps.networkGone?.(verdict.network.networkId);
      return;
  }
}

async function actOnLease(
  verdict: Extract<Verdict, { readonly kind: 'lease' }>,
  { leases }: ActDependencies,
  deadline: Deadline,
): Promise<void> {
  if ('believed' in verdict) {
    leases.forget(verdict.believed);
    return;
  }
  if ('lost' in verdict) {
    failpoint('reconcile.before-adopt');
    const { subnet, address } = verdict.lost;
    await leases.restore(subnet, address, deadline);
    return;
  }
  const { subnet, address, modRevision, owner, value } = verdict.lease;
  const known = leases.get(subnet, address);
  if (verdict.action === 'free') {
    const held = known?.modRevision === modRevision ? known : verdict.lease;
    await leases.releaseIfUnchanged(held, deadline, { owner });
  } else if (verdict.holder !== undefined) {
    if (known?.modRevision !== modRevision) await leases.restore(subnet, address, deadline);
    // Given to another container since.
    if (leases.get(subnet, address)?.value.request !== value.request) return;
    leases.noteHolder(subnet, address, verdict.holder);
  }
}

/**
 * The link, or the end of a veth pair that stays here, and its ifb. Only with its mark: after a refused Join the name may be somebody
 * else's.
 */
async function deleteLinkOf(
  { endpointId, linkName }: EndpointRecord,
  { net }: ActDependencies,
): Promise<void> {
  for (const name of [linkName, hostEndNameOf(endpointId), hostIfbNameOf(endpointId)]) {
    const link = await net.linkGet(name);
    if (endpointIdOfAlias(link?.alias ?? '') === endpointId) await net.linkDelete(name);
  }
}

async function someAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
}

const MESSAGES = {
  free: 'reconciliation freed what nothing uses',
  delete: 'reconciliation freed what nothing uses',
  adopt: 'etcd had lost the lease of a living endpoint, it is taken again',
  bind: 'the lease of a living endpoint did not name it and does now',
  repair: "the host's index in etcd did not agree with a lease and is mended",
} as const;

function tell(done: readonly Verdict[], logger: Logger): void {
  const sorts = new Map<string, Verdict[]>();
  for (const verdict of done) {
    const sort = `${verdict.kind} ${verdict.action}`;
    const alike = sorts.get(sort);
    if (alike === undefined) sorts.set(sort, [verdict]);
    else alike.push(verdict);
  }
  for (const alike of sorts.values()) {
    const [first] = alike;
    if (
      first === undefined ||
      first.action === 'keep' ||
      first.action === 'wait' ||
      first.action === 'conflict'
    )
      continue;
    const level = first.action === 'adopt' || first.action === 'repair' ? 'warn' : 'info';
    const { kind } = first;
    if (alike.length <= TOLD_SINGLY) {
      for (const { object, reason } of alike) logger[level](MESSAGES[first.action], { kind, object, reason });
      continue;
    }
    const objects = alike.slice(0, TOLD_SINGLY).map(({ object }) => object);
    logger[level](MESSAGES[first.action], { kind, count: alike.length, among: objects.join(' ') });
  }
}
