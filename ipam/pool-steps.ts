/**
 * The transactions of pools and of shared addresses (gateway, aux), as data.
 *
 * A gateway or aux address is reserved once, whoever asks; each host that needs it has a hold. The reservation
 * goes with the last hold, in one transaction and decided by etcd ("no key beside mine under this prefix"), so two
 * hosts cannot misunderstand each other and a crash leaves no reservation that nobody holds.
 */
import { type Cidr, cidrsOverlap, formatCidr, type IpAddress, parseCidr } from '../core/ip.ts';
import type { Compare, KeyValue } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import type { LeaseValue, PoolValue } from '../store/schema.ts';
import type { Step } from './committer.ts';

/** All steps that change the set of pools wait for each other. */
const POOLSET = 'poolset';

export interface PoolSteps {
  /** Makes the pool and this host's use of it, if the set of pools is as it was read. */
  create(pool: PoolValue, poolset: KeyValue | undefined): Step;
  /** Notes that this host uses the pool, if the pool is as it was read. */
  use(subnet: Cidr, pool: KeyValue): Step;
  /** Changes the pool, if it is as it was read. */
  change(seen: KeyValue, pool: PoolValue): Step;
  /** This host uses the pool no more. */
  leave(subnet: Cidr): Step;
  /** Removes a pool that no host uses and no lease stands in. */
  removeUnused(subnet: Cidr): Step;
  /** Reserves the address and holds it Else reads what stands there. */
  reserve(subnet: Cidr, address: IpAddress, value: LeaseValue): Step;
  /** Adds this host's hold to a reservation that stands already. */
  hold(subnet: Cidr, address: IpAddress, reservation: KeyValue): Step;
  /** Drops this host's hold, and with the last hold the reservation, if there is one. */
  unhold(subnet: Cidr, address: IpAddress, reservation: KeyValue | undefined): Step;
}

export function poolSteps(layout: Layout, host: string): PoolSteps {
  const mark = JSON.stringify({ v: 1 });
  return {
    create: (pool, poolset) => {
      const subnet = parseCidr(pool.subnet);
      const same: Compare =
        poolset === undefined
          ? { test: 'absent', key: layout.poolset }
          : { test: 'modRevision', key: layout.poolset, equals: poolset.modRevision };
      return {
        lockKey: POOLSET,
        txn: {
          compare: [same, { test: 'absent', key: layout.pool(subnet) }],
          success: [
            { do: 'put', key: layout.pool(subnet), value: JSON.stringify(pool) },
            { do: 'put', key: layout.poolset, value: mark },
            { do: 'put', key: layout.use(subnet, host), value: mark },
          ],
        },
      };
    },
    use: (subnet, pool) => ({
      lockKey: POOLSET,
      txn: {
        compare: [{ test: 'modRevision', key: pool.key, equals: pool.modRevision }],
        success: [{ do: 'put', key: layout.use(subnet, host), value: mark }],
      },
    }),
    change: (seen, pool) => ({
      lockKey: POOLSET,
      txn: {
        compare: [{ test: 'modRevision', key: seen.key, equals: seen.modRevision }],
        success: [{ do: 'put', key: seen.key, value: JSON.stringify(pool) }],
      },
    }),
    leave: (subnet) => ({
      lockKey: POOLSET,
      txn: { compare: [], success: [{ do: 'delete', range: { key: layout.use(subnet, host) } }] },
    }),
    removeUnused: (subnet) => ({
      lockKey: POOLSET,
      txn: {
        compare: [
          { test: 'rangeEmpty', prefix: layout.uses(subnet) },
          { test: 'rangeEmpty', prefix: layout.leases(subnet) },
        ],
        success: [
          { do: 'delete', range: { key: layout.pool(subnet) } },
          { do: 'put', key: layout.poolset, value: mark },
        ],
      },
    }),
    reserve: (subnet, address, value) => ({
      lockKey: layout.lease(subnet, address),
      txn: {
        compare: [{ test: 'absent', key: layout.lease(subnet, address) }],
        success: [
          { do: 'put', key: layout.lease(subnet, address), value: JSON.stringify(value) },
          { do: 'put', key: layout.hold(subnet, address, host), value: mark },
        ],
        failure: [{ do: 'get', range: { key: layout.lease(subnet, address) } }],
      },
    }),
    hold: (subnet, address, reservation) => ({
      lockKey: layout.lease(subnet, address),
      txn: {
        compare: [{ test: 'modRevision', key: reservation.key, equals: reservation.modRevision }],
        success: [{ do: 'put', key: layout.hold(subnet, address, host), value: mark }],
      },
    }),
    unhold: (subnet, address, reservation) => {
      const [all, mine] = [layout.holds(subnet, address), layout.hold(subnet, address, host)];
      const drop = { do: 'delete', range: { key: mine } } as const;
      const lockKey = layout.lease(subnet, address);
      if (reservation === undefined) return { lockKey, txn: { compare: [], success: [drop] } };
      return {
        lockKey,
        txn: {
          compare: [
            { test: 'noneBetween', from: all, to: mine },
            // "0" is the character after the "/" at the end of the prefix.
            { test: 'noneBetween', from: `${mine}\0`, to: `${all.slice(0, -1)}0` },
            { test: 'modRevision', key: reservation.key, equals: reservation.modRevision },
          ],
          success: [drop, { do: 'delete', range: { key: reservation.key } }],
          failure: [drop],
        },
      };
    },
  };
}

/** The pool that a new subnet would overlap, if any: the same subnet is the same pool, not an overlap. */
export function overlapping(subnet: Cidr, pools: readonly Cidr[]): Cidr | undefined {
  return pools.find((pool) => formatCidr(pool) !== formatCidr(subnet) && cidrsOverlap(pool, subnet));
}
