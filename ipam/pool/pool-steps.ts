/**
 * The transactions of pools and of shared addresses (gateway, aux), as data.
 *
 * A gateway or aux address is reserved once, whoever asks; each host that needs it has a hold. The reservation
 * goes with the last hold, in one transaction and decided by etcd ("no key beside mine under this prefix"), so two
 * hosts cannot misunderstand each other and a crash leaves no reservation that nobody holds.
 */
import { type Cidr, cidrsOverlap, formatCidr, type IpAddress, parseCidr } from '../../core/ip.ts';
import type { Compare, KeyValue } from '../../store/kv.ts';
import { type Layout, subnetOfPoolKey } from '../../store/layout.ts';
import type { LeaseValue, PoolValue } from '../../store/schema.ts';
import type { Step } from '../commit/step.ts';

/** All steps that change the set of pools wait for each other. */
const POOLSET = 'poolset';

export interface PoolSteps {
  /** Makes the pool and this host's use of it, if the set of pools is as it was read. */
  create(pool: PoolValue, poolset: KeyValue | undefined): Step;
  /** Notes that this host uses the pool, if the pool is as it was read. */
  use(subnet: Cidr, pool: KeyValue): Step;
  /**
   * Makes an operator's pool, or gives a pool that stands to an operator, if the set of pools is as it was read: names
   * are unique, and subnets do not overlap.
   * @param unused only if no host has networks on it
   */
  define(pool: PoolValue, seen: SeenPools, options: { readonly unused: boolean }): Step;
  /** Changes the pool, if it is as it was read. @param unused only if no host has networks on it */
  change(seen: KeyValue, pool: PoolValue, options?: { readonly unused: boolean }): Step;
  /** This host uses the pool no more. */
  leave(subnet: Cidr): Step;
  /** Removes a pool that no host uses and no lease stands in, if it is as it was read. */
  remove(seen: KeyValue): Step;
  /** Frees an address that is kept for a name, or set aside, of a pool that nobody uses, if it is as it was read. */
  dropKept(subnet: Cidr, reservation: KeyValue, name: string | undefined): Step;
  /** Reserves the address and holds it Else reads what stands there. */
  reserve(subnet: Cidr, address: IpAddress, value: LeaseValue): Step;
  /** Adds this host's hold to a reservation that stands already. */
  hold(subnet: Cidr, address: IpAddress, reservation: KeyValue): Step;
  /** Drops this host's hold, and with the last hold the reservation, if there is one. */
  unhold(subnet: Cidr, address: IpAddress, reservation: KeyValue | undefined): Step;
}

/** What was read before the set of pools is changed. */
export interface SeenPools {
  readonly poolset: KeyValue | undefined;
  /** The pool itself, if it stands. */
  readonly pool: KeyValue | undefined;
}

export function poolSteps(layout: Layout, host: string): PoolSteps {
  const mark = JSON.stringify({ v: 1 });
  return {
    create: (pool, poolset) => {
      const subnet = parseCidr(pool.subnet);
      return {
        lockKey: POOLSET,
        txn: {
          compare: [unchanged(layout.poolset, poolset), { test: 'absent', key: layout.pool(subnet) }],
          success: [
            { do: 'put', key: layout.pool(subnet), value: JSON.stringify(pool) },
            { do: 'put', key: layout.poolset, value: mark },
            { do: 'put', key: layout.use(subnet, host), value: mark },
          ],
        },
      };
    },
    define: (pool, seen, { unused }) => {
      const subnet = parseCidr(pool.subnet);
      const key = layout.pool(subnet);
      return {
        lockKey: POOLSET,
        txn: {
          compare: [
            unchanged(layout.poolset, seen.poolset),
            unchanged(key, seen.pool),
            ...(unused ? [{ test: 'rangeEmpty', prefix: layout.uses(subnet) } as const] : []),
          ],
          success: [
            { do: 'put', key, value: JSON.stringify(pool) },
            { do: 'put', key: layout.poolset, value: mark },
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
    change: (seen, pool, options = { unused: false }) => ({
      lockKey: POOLSET,
      txn: {
        compare: [
          unchanged(seen.key, seen),
          ...(options.unused
            ? [{ test: 'rangeEmpty', prefix: layout.uses(parseCidr(pool.subnet)) } as const]
            : []),
        ],
        success: [{ do: 'put', key: seen.key, value: JSON.stringify(pool) }],
      },
    }),
    leave: (subnet) => ({
      lockKey: POOLSET,
      txn: { compare: [], success: [{ do: 'delete', range: { key: layout.use(subnet, host) } }] },
    }),
    remove: (seen) => {
      const subnet = subnetOfPoolKey(seen.key.slice(layout.pools.length));
      return {
        lockKey: POOLSET,
        txn: {
          compare: [
            unchanged(seen.key, seen),
            { test: 'rangeEmpty', prefix: layout.uses(subnet) },
            { test: 'rangeEmpty', prefix: layout.leases(subnet) },
          ],
          success: [
            { do: 'delete', range: { key: seen.key } },
            { do: 'delete', range: { prefix: layout.names(subnet) } },
            { do: 'delete', range: { prefix: layout.coolings(subnet) } },
            { do: 'delete', range: { prefix: layout.macs(subnet) } },
            { do: 'put', key: layout.poolset, value: mark },
          ],
        },
      };
    },
    dropKept: (subnet, reservation, name) => ({
      lockKey: reservation.key,
      txn: {
        compare: [
          unchanged(reservation.key, reservation),
          { test: 'rangeEmpty', prefix: layout.uses(subnet) },
        ],
        success: [
          { do: 'delete', range: { key: reservation.key } },
          name === undefined
            ? { do: 'delete', range: { key: layout.mac(subnet, layout.addressOf(reservation.key).address) } }
            : { do: 'delete', range: { key: layout.name(subnet, name) } },
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

function unchanged(key: string, seen: KeyValue | undefined): Compare {
  return seen === undefined
    ? { test: 'absent', key }
    : { test: 'modRevision', key, equals: seen.modRevision };
}

/** The pool that a new subnet would overlap, if any: the same subnet is the same pool, not an overlap. */
export function overlapping(subnet: Cidr, pools: readonly Cidr[]): Cidr | undefined {
  return pools.find((pool) => formatCidr(pool) !== formatCidr(subnet) && cidrsOverlap(pool, subnet));
}
