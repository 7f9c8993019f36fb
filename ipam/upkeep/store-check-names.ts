/**
 * Names and the leases that belong to them must agree, in both directions; and no endpoint has two addresses of
 * one family. Pure. Part of store-check.ts.
 */
import { formatCidr } from '../../core/ip.ts';
import type { KeyValue } from '../../store/kv.ts';
import { subnetOfPoolKey } from '../../store/layout.ts';
import type { LeaseValue, NameValue } from '../../store/schema.ts';
import { objectOf, repair } from './store-check-addresses.ts';
import type { Finding, StoreEdit } from './store-finding.ts';
import { isInUse, isNamed, type SeenAddress, type StoreView } from './store-view.ts';

interface Named {
  readonly at: SeenAddress;
  readonly kv: KeyValue;
  readonly value: LeaseValue;
}

export function checkNames(view: StoreView, addresses: readonly SeenAddress[]): Finding[] {
  const named = addresses.flatMap((at): Named[] => {
    const value = at.lease?.value;
    return at.lease === undefined || value === undefined || !isNamed(value)
      ? []
      : [{ at, kv: at.lease.kv, value }];
  });
  const byName = new Map<string, Named[]>();
  for (const one of named) {
    const id = `${one.at.pool}/${one.value.name ?? ''}`;
    byName.set(id, [...(byName.get(id) ?? []), one]);
  }
  const texts = new Map(addresses.map((at) => [`${at.pool} ${at.text}`, at]));
  return [
    ...named.flatMap((one) => checkNamed(view, one, byName)),
    ...[...view.names].flatMap(([id, entry]) => {
      if (byName.has(id)) return [];
      const object = `name "${entry.name}" of pool ${formatCidr(subnetOfPoolKey(entry.pool))}`;
      const target = texts.get(`${entry.pool} ${entry.value?.address ?? ''}`);
      const lockKey = target?.leaseKey ?? entry.kv.key;
      const seen = [view.unchanged(entry.kv.key, entry.kv)];
      if (target !== undefined) seen.push(view.unchanged(target.leaseKey, target.lease?.kv));
      const problem =
        entry.value === undefined
          ? 'its value is damaged, and no lease belongs to it'
          : `it has address ${entry.value.address}, but that lease is not its own`;
      const edits: StoreEdit[] = [{ key: entry.kv.key, before: entry.kv.value }];
      return [{ code: 'name-without-lease', object, problem, repair: { lockKey, seen, edits } } as const];
    }),
  ];
}

function checkNamed(view: StoreView, one: Named, byName: ReadonlyMap<string, readonly Named[]>): Finding[] {
  const { at, kv, value } = one;
  const gone: StoreEdit = { key: at.leaseKey, before: kv.value };
  if (value.name === undefined) return [nameless(view, one, gone)];
  const id = `${at.pool}/${value.name}`;
  const entry = view.names.get(id);
  if (entry?.value?.address === at.text) return [];
  const owner = byName.get(id)?.find((other) => other.at.text === entry?.value?.address);
  if (owner !== undefined) {
    const problem = `it belongs to name "${value.name}", but that name has ${owner.at.text}`;
    const found = { code: 'name-twice', object: objectOf(at), problem } as const;
    if (!isInUse(value)) return [{ ...found, repair: repair(view, at, [gone]) }];
    return [
      { ...found, advice: `give one of the two containers another name, or remove it on host ${value.host}` },
    ];
  }
  const key = view.layout.name(at.subnet, value.name);
  const text: NameValue = { v: 1, address: at.text };
  // A sticky reservation and its name end together; the key's own TTL cannot be read, so both get a fresh one.
  const ttl =
    !isInUse(value) && value.keepSeconds !== undefined ? { ttlSeconds: value.keepSeconds } : undefined;
  const before = entry === undefined ? {} : { before: entry.kv.value };
  const edits: StoreEdit[] = [{ key, ...before, after: JSON.stringify(text), ...ttl }];
  if (ttl !== undefined) edits.push({ ...gone, after: kv.value, ...ttl });
  return [
    {
      code: 'name-differs',
      object: objectOf(at),
      problem: `it belongs to name "${value.name}", but that name ${nameText(entry?.value, entry !== undefined)}`,
      repair: repair(view, at, edits),
    },
  ];
}

function nameText(value: NameValue | undefined, there: boolean): string {
  if (!there) return 'is not known';
  return value === undefined ? 'has a damaged value' : `has ${value.address}`;
}

function nameless(view: StoreView, { at, value }: Named, gone: StoreEdit): Finding {
  const found = {
    code: 'nameless',
    object: objectOf(at),
    problem: 'it is reserved for a name, but says none',
  } as const;
  if (!isInUse(value)) return { ...found, repair: repair(view, at, [gone]) };
  return { ...found, advice: `restart the container on host ${value.host}` };
}

/** Two leases of one family that name one endpoint: the endpoint has one of them at most. */
export function checkEndpoints(addresses: readonly SeenAddress[]): Finding[] {
  const first = new Map<string, SeenAddress>();
  return addresses.flatMap((at): Finding[] => {
    const endpointId = at.lease?.value?.endpointId;
    if (endpointId === undefined || at.lease?.value?.state !== 'bound') return [];
    const id = `${endpointId} ${at.address.family}`;
    const other = first.get(id);
    if (other === undefined) {
      first.set(id, at);
      return [];
    }
    return [
      {
        code: 'endpoint-twice',
        object: objectOf(at),
        problem: `endpoint ${endpointId.slice(0, 12)} has it, and ${objectOf(other)} too`,
        advice: `on host ${at.lease.value.host}: lanius reconcile; if both stay: lanius ip release the one that docker inspect does not show`,
      },
    ];
  });
}
