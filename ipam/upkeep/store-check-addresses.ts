/**
 * What can be wrong with one address, and the repair: the lease, the hosts' index entries, and the holds on a
 * reservation must tell one story. Pure. Part of store-check.ts.
 *
 * The rules: the lease key decides whose an address is. No repair takes an address from a host whose container may
 * live: what only an index knows becomes a lease again, and reconciliation frees it if nobody has it.
 */
import { cidrHas, formatCidr, rangeHas, usableRange } from '../../core/ip.ts';
import type { Compare, KeyValue } from '../../store/kv.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { Finding, Repair, StoreEdit } from './store-finding.ts';
import { isInUse, isNamed, type SeenAddress, type StoreView } from './store-view.ts';

type Put = (kv: KeyValue | undefined, key: string, after: string, ttlSeconds?: number) => StoreEdit;

const put: Put = (kv, key, after, ttlSeconds) => ({
  key,
  ...(kv === undefined ? {} : { before: kv.value }),
  after,
  ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
});
const remove = (kv: KeyValue): StoreEdit => ({ key: kv.key, before: kv.value });

export function objectOf(at: SeenAddress): string {
  return `${at.text} of pool ${formatCidr(at.subnet)}`;
}

/** @param now wall clock, for reservations that are written anew */
export function checkAddress(view: StoreView, at: SeenAddress, now: number): Finding[] {
  const value = at.lease?.value;
  if (at.lease !== undefined && value === undefined) return [damagedLease(view, at)];
  if (value === undefined) {
    if (at.indexes.length > 0) return [withoutLease(view, at)];
    return at.holds.length === 0 ? [] : [withoutReservation(view, at, now)];
  }
  return [
    ...(isInUse(value) ? indexOfLease(view, at, value) : reservedInIndex(view, at)),
    ...place(view, at, value),
    ...holdsOfLease(view, at, value),
  ];
}

function damagedLease(view: StoreView, at: SeenAddress): Finding {
  const found = {
    code: 'damaged-value',
    object: objectOf(at),
    problem: `the value of ${at.leaseKey} is no lease`,
  } as const;
  const [only, ...others] = at.indexes.filter(isOwn);
  if (only !== undefined && others.length === 0) {
    const edits = [put(at.lease?.kv, at.leaseKey, only.kv.value), put(only.kv, only.kv.key, only.kv.value)];
    return {
      ...found,
      problem: `${found.problem}, but the index of host ${only.host} has it whole`,
      repair: repair(view, at, edits),
    };
  }
  return {
    ...found,
    advice: `no host's index has it: if no container has ${at.text}, delete the key with etcdctl`,
  };
}

/** The index of one host or more has an address that has no lease. */
function withoutLease(view: StoreView, at: SeenAddress): Finding {
  const own = at.indexes.filter(isOwn);
  const useless = at.indexes.filter((index) => !own.includes(index));
  const [only, ...others] = own;
  const hosts = at.indexes.map(({ host }) => host).join(', ');
  const object = objectOf(at);
  if (only !== undefined && others.length > 0) {
    return {
      code: 'address-twice',
      object,
      problem: `hosts ${hosts} have it in their index, and no lease says whose it is`,
      advice: `look whose container has ${at.text}, and delete the other's key ${view.layout.prefix}by-host/HOST/${at.pool}/${at.hex} with etcdctl`,
    };
  }
  const edits =
    only !== undefined && isUsable(at)
      ? [put(undefined, at.leaseKey, only.kv.value), put(only.kv, only.kv.key, only.kv.value)]
      : own.map(({ kv }) => remove(kv));
  return {
    code: 'index-without-lease',
    object,
    problem: `the index of host ${hosts} has it, but it has no lease`,
    repair: repair(view, at, [...edits, ...useless.map(({ kv }) => remove(kv))]),
  };
}

/** A lease in use stands in the index of its host with the same bytes, written at the same revision, and in no other. */
function indexOfLease(view: StoreView, at: SeenAddress, value: LeaseValue): Finding[] {
  const kv = at.lease?.kv;
  const own = at.indexes.find(({ host }) => host === value.host);
  const others = at.indexes.filter((index) => index !== own);
  const differs = own !== undefined && (own.kv.value !== kv?.value || own.kv.modRevision !== kv.modRevision);
  if (kv === undefined || (own !== undefined && !differs && others.length === 0)) return [];
  const index = own?.kv.key ?? view.layout.byHostLease(value.host, at.subnet, at.address);
  const whole =
    own === undefined || differs ? [put(kv, at.leaseKey, kv.value), put(own?.kv, index, kv.value)] : [];
  const texts = [
    ...(own === undefined ? [`host ${value.host} has the lease, but not in its index`] : []),
    ...(differs ? [`the index of host ${value.host} has another ${ofWhat(own.kv, kv)} than the lease`] : []),
    ...others.map(({ host }) => `the lease is host ${value.host}'s, but host ${host} has it in its index`),
  ];
  const code =
    others.length > 0 ? 'address-twice' : own === undefined ? 'lease-without-index' : 'index-differs';
  return [
    {
      code,
      object: objectOf(at),
      problem: texts.join('; '),
      repair: repair(view, at, [...whole, ...others.map((other) => remove(other.kv))]),
    },
  ];
}

function reservedInIndex(view: StoreView, at: SeenAddress): Finding[] {
  if (at.indexes.length === 0) return [];
  const hosts = at.indexes.map(({ host }) => host).join(', ');
  return [
    {
      code: 'reserved-in-index',
      object: objectOf(at),
      problem: `it is reserved, but host ${hosts} has it in its index`,
      repair: repair(
        view,
        at,
        at.indexes.map(({ kv }) => remove(kv)),
      ),
    },
  ];
}

/** The address lies where an address of its kind may lie. */
function place(view: StoreView, at: SeenAddress, value: LeaseValue): Finding[] {
  const shared = value.role === 'gateway' || value.role === 'aux';
  if (shared ? cidrHas(at.subnet, at.address) : isUsable(at)) return [];
  const kv = at.lease?.kv;
  const found = {
    code: 'outside-pool',
    object: objectOf(at),
    problem: cidrHas(at.subnet, at.address)
      ? 'no container can use that address of the subnet'
      : 'the address is not in the subnet of its pool',
  } as const;
  if (isInUse(value) || at.holds.length > 0 || kv === undefined) {
    return [{ ...found, advice: `remove what uses it on host ${value.host}, then: lanius reconcile` }];
  }
  const name = value.name === undefined ? undefined : view.names.get(`${at.pool}/${value.name}`);
  const gone = isNamed(value) && name?.value?.address === at.text ? [kv, name.kv] : [kv];
  return [{ ...found, repair: repair(view, at, gone.map(remove)) }];
}

/** A gateway or aux address is reserved as long as a host's networks need it. */
function holdsOfLease(view: StoreView, at: SeenAddress, value: LeaseValue): Finding[] {
  const kv = at.lease?.kv;
  if (isInUse(value)) {
    if (at.holds.length === 0) return [];
    const hosts = at.holds.map(({ host }) => host).join(', ');
    return [
      {
        code: 'hold-without-reservation',
        object: objectOf(at),
        problem: `networks of host ${hosts} need it as gateway or auxiliary address, but a container of host ${value.host} has it`,
        advice: 'remove the container, or the networks',
      },
    ];
  }
  const shared = value.role === 'gateway' || value.role === 'aux';
  const pool = view.pools.get(at.pool)?.value;
  const operators = pool?.name !== undefined && pool.gateway === at.text;
  if (!shared || at.holds.length > 0 || operators || kv === undefined || place(view, at, value).length > 0)
    return [];
  const nobody: Compare = { test: 'rangeEmpty', prefix: view.layout.holds(at.subnet, at.address) };
  const { seen, ...rest } = repair(view, at, [remove(kv)]);
  return [
    {
      code: 'reservation-without-hold',
      object: objectOf(at),
      problem: `it is reserved as ${value.role === 'gateway' ? 'gateway' : 'auxiliary address'}, but no host's networks need it`,
      repair: { ...rest, seen: [...seen, nobody] },
    },
  ];
}

/** Networks need a gateway or aux address that anybody could get: it is reserved again. */
function withoutReservation(view: StoreView, at: SeenAddress, now: number): Finding {
  const [first] = at.holds;
  const pool = view.pools.get(at.pool);
  const found = {
    code: 'hold-without-reservation',
    object: objectOf(at),
    problem: `networks of host ${at.holds.map(({ host }) => host).join(', ')} need it as gateway or auxiliary address, but it is not reserved`,
  } as const;
  if (first === undefined || pool === undefined || !cidrHas(at.subnet, at.address)) {
    return {
      ...found,
      repair: repair(
        view,
        at,
        at.holds.map(({ kv }) => remove(kv)),
      ),
    };
  }
  const value: LeaseValue = {
    v: 1,
    state: 'reserved',
    role: pool.value?.gateway === at.text ? 'gateway' : 'aux',
    host: first.host,
    request: 'store-check.0',
    bootId: '',
    at: now,
  };
  const { seen, ...rest } = repair(view, at, [put(undefined, at.leaseKey, JSON.stringify(value))]);
  return { ...found, repair: { ...rest, seen: [...seen, view.unchanged(first.kv.key, first.kv)] } };
}

/** Compares the lease, and every key that is changed. */
export function repair(view: StoreView, at: SeenAddress, edits: readonly StoreEdit[]): Repair {
  const known = new Map<string, KeyValue>();
  for (const { kv } of [...at.indexes, ...at.holds]) known.set(kv.key, kv);
  for (const { kv } of view.names.values()) known.set(kv.key, kv);
  const keys = new Set(edits.map(({ key }) => key));
  keys.delete(at.leaseKey);
  return {
    lockKey: at.leaseKey,
    seen: [
      view.unchanged(at.leaseKey, at.lease?.kv),
      ...[...keys].map((key) => view.unchanged(key, known.get(key))),
    ],
    edits,
  };
}

function isOwn({ host, value }: SeenAddress['indexes'][number]): boolean {
  return value !== undefined && value.host === host && isInUse(value);
}

function isUsable(at: SeenAddress): boolean {
  return rangeHas(usableRange(at.subnet), at.address);
}

function ofWhat(index: KeyValue, lease: KeyValue): string {
  return index.value === lease.value ? 'revision' : 'value';
}
