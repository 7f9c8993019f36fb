/**
 * The claims of this host and what they hold in etcd: pools in use, gateway and aux addresses.
 *
 * INVARIANTS
 * - Changes happen one at a time: a claim on disk and its holds in etcd are two effects, and clearing up must not
 *   come between them. Containers' addresses do not pass here.
 * - etcd is told first when something is taken, the disk first when it is dropped: a crash between leaves more in
 *   etcd than on disk, never less, and `sweep` takes it away.
 */
import PQueue from 'p-queue';
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { NotFound } from '../../core/errors.ts';
import { failpoint } from '../../core/failpoint.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import type { ClaimRecord } from '../../store/host-records.ts';
import type { RecordStore } from '../../store/records.ts';
import type { NetworkAttachment } from '../address-service.ts';
import { type ClaimTerms, claimOf, isHeld, newPoolId, parsePoolId, withHeld, withoutHeld } from './claims.ts';
import type { Pools, PoolUse } from './pools.ts';

export interface ClaimBookDependencies {
  readonly pools: Pools;
  readonly claims: RecordStore<ClaimRecord>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class ClaimBook {
  readonly #deps: ClaimBookDependencies;
  readonly #changes = new PQueue({ concurrency: 1 });

  constructor(deps: ClaimBookDependencies) {
    this.#deps = deps;
  }

  /** A new claim. @throws Conflict if the subnet overlaps another pool */
  make(terms: ClaimTerms, deadline: Deadline): Promise<ClaimRecord> {
    return this.#changes.add(async () => {
      const { claims } = this.#deps;
      const poolId = newPoolId(terms, (id) => claims.get(id) !== undefined);
      const claim = await this.#record(poolId, deadline);
      failpoint('pool.after-record');
      return claim;
    });
  }

  /** The claim; made again from its id if the record is lost (the engine remembers what this host forgot). */
  async find(poolId: string, deadline: Deadline): Promise<ClaimRecord> {
    const known = this.#deps.claims.get(poolId);
    if (known !== undefined) return known;
    return this.#changes.add(async () => {
      const made = this.#deps.claims.get(poolId);
      if (made !== undefined) return made;
      this.#deps.logger.warn('the record of a pool claim was lost and is made again', { poolId });
      return this.#record(poolId, deadline);
    });
  }

  /** Drops a claim with all that it holds. Unknown ids are fine. */
  drop(poolId: string, deadline: Deadline): Promise<void> {
    return this.#changes.add(async () => {
      const claim = this.#deps.claims.get(poolId);
      if (claim === undefined) return;
      await this.#deps.claims.delete(poolId);
      failpoint('pool.before-leave');
      const subnet = parseCidr(claim.subnet);
      await this.#forgiving(poolId, async () => {
        for (const held of claim.held) await this.#unreserve(subnet, parseIp(held.address), deadline);
        const used = this.#deps.claims.list().some((other) => other.subnet === claim.subnet);
        if (!used) await this.#deps.pools.leave(subnet, deadline);
      });
    });
  }

  /** Reserves a gateway or aux address for the claim. @throws Conflict if a container has it */
  hold(poolId: string, address: IpAddress, role: 'gateway' | 'aux', deadline: Deadline): Promise<void> {
    return this.#changes.add(async () => {
      const { pools, claims } = this.#deps;
      const subnet = parsePoolId(poolId).subnet;
      await pools.reserve(subnet, address, role, deadline);
      failpoint('gateway.before-note');
      if (role === 'gateway') await pools.noteGateway(subnet, address, deadline);
      failpoint('gateway.before-record');
      const claim = claims.get(poolId);
      if (claim !== undefined) await claims.put(poolId, withHeld(claim, address, role));
    });
  }

  /** @returns false if the claim does not hold that address */
  unhold(poolId: string, address: IpAddress, deadline: Deadline): Promise<boolean> {
    return this.#changes.add(async () => {
      const claim = this.#deps.claims.get(poolId);
      if (claim === undefined || !isHeld(claim, address)) return false;
      await this.#deps.claims.put(poolId, withoutHeld(claim, address));
      failpoint('gateway.before-unreserve');
      await this.#forgiving(poolId, () => this.#unreserve(parseCidr(claim.subnet), address, deadline));
      return true;
    });
  }

  /** Ties the newest fitting claims to the network. @returns their ids @throws NotFound if there is none */
  attach(attachment: NetworkAttachment): Promise<string[]> {
    return this.#changes.add(async () => {
      const attached: string[] = [];
      for (const { subnet, gateway } of attachment.subnets) {
        const claim = this.#fitting(subnet, gateway, attachment.networkId);
        await this.#deps.claims.put(claim.poolId, { ...claim, networkId: attachment.networkId });
        attached.push(claim.poolId);
      }
      return attached;
    });
  }

  /**
   * Clears up in etcd what no claim of this host stands for any more (what etcd did not take when it was dropped), and
   * puts back what a claim stands for and etcd has lost (its data wiped, or restored from a backup).
   */
  sweep(deadline: Deadline): Promise<void> {
    return this.#changes.add(async () => {
      const { claims, pools } = this.#deps;
      const found = await pools.survey();
      for (const { subnet, usedHere, unused, held } of found) {
        const mine = claims.list().filter((claim) => claim.subnet === formatCidr(subnet));
        for (const address of held) {
          if (!mine.some((claim) => isHeld(claim, address))) await pools.unreserve(subnet, address, deadline);
        }
        if (usedHere && mine.length === 0) await pools.leave(subnet, deadline);
        else if (unused) await pools.removeUnused(subnet, deadline);
      }
      for (const claim of claims.list()) {
        const use = found.find(({ subnet }) => formatCidr(subnet) === claim.subnet);
        await this.#putBack(claim, use, deadline);
      }
    });
  }

  async #putBack(claim: ClaimRecord, use: PoolUse | undefined, deadline: Deadline): Promise<void> {
    const { pools, logger } = this.#deps;
    const subnet = parseCidr(claim.subnet);
    const held = (use?.held ?? []).map(formatIp);
    const lost = claim.held.filter(({ address }) => !held.includes(address));
    if (use?.usedHere === true && lost.length === 0) return;
    logger.warn('etcd has lost what a claim stands for, it is put back', { poolId: claim.poolId });
    try {
      await pools.use(subnet, deadline);
      for (const { address, role } of lost) await pools.reserve(subnet, parseIp(address), role, deadline);
    } catch (err) {
      logger.error('what a claim stands for cannot be put back in etcd', { poolId: claim.poolId, err });
    }
  }

  async #record(poolId: string, deadline: Deadline): Promise<ClaimRecord> {
    await this.#deps.pools.use(parsePoolId(poolId).subnet, deadline);
    failpoint('pool.before-record');
    const claim = claimOf(poolId, this.#deps.clock.wall());
    await this.#deps.claims.put(poolId, claim);
    return claim;
  }

  /** Another claim of this host may need the same address. */
  async #unreserve(subnet: Cidr, address: IpAddress, deadline: Deadline): Promise<void> {
    const text = formatCidr(subnet);
    const needed = this.#deps.claims.list().some((claim) => claim.subnet === text && isHeld(claim, address));
    if (!needed) await this.#deps.pools.unreserve(subnet, address, deadline);
  }

  #fitting(subnet: Cidr, gateway: IpAddress | undefined, networkId: string): ClaimRecord {
    const fitting = this.#deps.claims
      .list()
      .filter(
        (claim) => claim.subnet === formatCidr(subnet) && (gateway === undefined || isHeld(claim, gateway)),
      )
      .sort((a, b) => b.createdAt - a.createdAt);
    const claim =
      fitting.find((candidate) => candidate.networkId === networkId) ??
      fitting.find((candidate) => candidate.networkId === undefined);
    if (claim !== undefined) return claim;
    throw new NotFound(
      `network on subnet ${formatCidr(subnet)}: no address pool was requested for it here: ` +
        'create it with --ipam-driver of the same name as its driver',
    );
  }

  /** Nobody asks again for what is dropped, so its failure is not the caller's: `sweep` does it later. */
  async #forgiving(poolId: string, work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => {
      this.#deps.logger.warn('what a claim held could not be given back in etcd, it will be later', {
        poolId,
        err: error,
      });
    });
  }
}
