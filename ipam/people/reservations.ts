/**
 * Reserving addresses for names by an operator's order, on any host. A reservation outlives every container; a
 * container of that name gets the address, or whoever asks for it with `--ip`.
 *
 * One transaction for each order: it compares the pool, the lease and the name as they were read, so an order never
 * overwrites what came in between; then it is judged anew. An address in use keeps its holder, and its release makes it
 * reserved again (ipam/lease/releases.ts).
 */
import type { Clock } from '../../core/clock.ts';
import type { Deadline } from '../../core/deadline.ts';
import { Conflict, DeadlineExceeded } from '../../core/errors.ts';
import { formatCidr, formatIp, type IpAddress, parseIp } from '../../core/ip.ts';
import type { Compare, KeyValue, KvPort, Operation } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { decode, type LeaseValue, leaseSchema, type NameValue, nameSchema } from '../../store/schema.ts';
import type { Committer } from '../commit/committer.ts';
import type { Step } from '../commit/step.ts';
import type { ReservationInfo } from '../inventory.ts';
import { holderText } from '../lease/lease-steps.ts';
import { macOperations } from '../mac/mac-entry.ts';
import { type KnownPool, poolOf, readPools } from '../pool/pool-lookup.ts';
import {
  checkReservable,
  checkReservationName,
  withoutReservation,
  withReservation,
} from './reservation-rules.ts';

export interface ReservationsOptions {
  readonly host: string;
  readonly instance: string;
  readonly bootId: string;
}

export interface ReservationsDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly committer: Committer;
  readonly clock: Clock;
}

/** What stood there when it was read. */
interface Seen {
  readonly pool: KnownPool;
  readonly address: IpAddress;
  readonly lease: { readonly kv: KeyValue; readonly value: LeaseValue } | undefined;
  /** The key of the name that the order is about. */
  readonly name: KeyValue | undefined;
}

export class Reservations {
  readonly #options: ReservationsOptions;
  readonly #deps: ReservationsDependencies;
  #requests = 0;

  constructor(options: ReservationsOptions, deps: ReservationsDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * Reserves the address for the name, for ever. Idempotent. A kept address of that name becomes the operator's.
   * @param pool subnet or name; absent: the only one that has the address
   * @throws Conflict (gateway, another name's, the name has another address), InvalidRequest, NotFound
   */
  async reserve(
    pool: string | undefined,
    addressText: string,
    name: string,
    deadline: Deadline,
  ): Promise<ReservationInfo> {
    checkReservationName(name);
    const address = parseIp(addressText);
    for (;;) {
      const known = await this.#pool(pool, address);
      checkReservable(known.subnet, address, known.value);
      const seen = await this.#look(known, address, name);
      const wanted = withReservation(address, seen.lease?.value, this.#fresh(name));
      const named = this.#addressOf(seen.name);
      if (named !== undefined && named !== formatIp(address)) await this.#refuseSecond(known, name, named);
      const lease = wanted ?? seen.lease?.value;
      const done = named === formatIp(address) && wanted === undefined;
      if (done || lease === undefined) return infoOf(seen, name, lease, false);
      if (await this.#change(seen, lease, name, deadline)) return infoOf(seen, name, lease, true);
    }
  }

  /**
   * Ends the reservation of the address, an operator's or a container name's. Idempotent; a holder keeps the address.
   * @throws Conflict for a gateway or auxiliary address; NotFound if no pool has the address
   */
  async unreserve(
    pool: string | undefined,
    addressText: string,
    deadline: Deadline,
  ): Promise<ReservationInfo> {
    const address = parseIp(addressText);
    for (;;) {
      const known = await this.#pool(pool, address);
      const seen = await this.#look(known, address, undefined);
      const there = seen.lease?.value;
      const rest = withoutReservation(address, there);
      const name = there?.name;
      if (rest === undefined || there === undefined) return infoOf(seen, undefined, there, false);
      const stays = rest === 'free' ? undefined : rest;
      if (await this.#change(seen, stays, name ?? '', deadline)) return infoOf(seen, name, stays, true);
    }
  }

  async #pool(pool: string | undefined, address: IpAddress): Promise<KnownPool> {
    return poolOf(await readPools(this.#deps.kv, this.#deps.layout), pool, address);
  }

  /** @param name absent: that of the lease */
  async #look(pool: KnownPool, address: IpAddress, name: string | undefined): Promise<Seen> {
    const { kv, layout } = this.#deps;
    const read = async (key: string): Promise<KeyValue | undefined> => (await kv.range({ key })).kvs[0];
    const item = await read(layout.lease(pool.subnet, address));
    const lease =
      item === undefined ? undefined : { kv: item, value: decode(leaseSchema, item.key, item.value) };
    const about = name ?? lease?.value.name;
    return {
      pool,
      address,
      lease,
      name: about === undefined ? undefined : await read(layout.name(pool.subnet, about)),
    };
  }

  #addressOf(name: KeyValue | undefined): string | undefined {
    return name === undefined ? undefined : decode(nameSchema, name.key, name.value).address;
  }

  /** A name key whose lease does not know of it (see `lanius store check`) is no reason. */
  async #refuseSecond(pool: KnownPool, name: string, elsewhere: string): Promise<void> {
    const { lease } = await this.#look(pool, parseIp(elsewhere), name);
    if (lease?.value.name !== name) return;
    throw new Conflict(
      `"${name}" has address ${elsewhere} of pool ${formatCidr(pool.subnet)} already (${holderText(lease.value)}): ` +
        `reserve that one, or end that first (lanius ip unreserve ${elsewhere})`,
    );
  }

  /** @param lease what is to stand there; undefined: nothing @returns false if something has changed since the look */
  async #change(
    seen: Seen,
    lease: LeaseValue | undefined,
    name: string,
    deadline: Deadline,
  ): Promise<boolean> {
    const step = this.#step(seen, lease, name);
    const { succeeded } = await this.#deps.committer.submit({ ...step, deadline });
    if (!succeeded && deadline.leftMs() === 0)
      throw new DeadlineExceeded(`address ${formatIp(seen.address)} changes too often: try again`);
    return succeeded;
  }

  #step(seen: Seen, lease: LeaseValue | undefined, name: string): Step {
    const { layout } = this.#deps;
    const { pool, address } = seen;
    const key = layout.lease(pool.subnet, address);
    const nameKey = layout.name(pool.subnet, name);
    const text = lease === undefined ? undefined : JSON.stringify(lease);
    const named: NameValue = { v: 1, address: formatIp(address) };
    // A name that has another address meanwhile is not this lease's to end.
    const ours = this.#addressOf(seen.name) === named.address;
    const nameText = lease?.name === name ? JSON.stringify(named) : undefined;
    const nameOps = nameText === undefined && !ours ? [] : [setKey(nameKey, nameText)];
    const indexed = seen.lease !== undefined && seen.lease.value.state !== 'reserved';
    const indexKey = layout.byHostLease(seen.lease?.value.host ?? '', pool.subnet, address);
    const both = (value: string | undefined): Operation[] => [
      setKey(key, value),
      ...(indexed ? [setKey(indexKey, value)] : []),
    ];
    const macKey = layout.mac(pool.subnet, address);
    return {
      lockKey: key,
      txn: {
        compare: [
          { test: 'createRevision', key: pool.kv.key, equals: pool.kv.createRevision },
          asSeen(key, seen.lease?.kv),
          ...(nameOps.length === 0 ? [] : [asSeen(nameKey, seen.name)]),
        ],
        success: [...both(text), ...nameOps, ...macOperations(macKey, seen.lease?.value, lease)],
      },
      undo: {
        compare: [text === undefined ? { test: 'absent', key } : { test: 'value', key, equals: text }],
        // A kept address is put back without its TTL, so for longer.
        success: [
          ...both(seen.lease?.kv.value),
          ...macOperations(macKey, lease, seen.lease?.value),
          ...(nameOps.length === 0 ? [] : [setKey(nameKey, seen.name?.value)]),
        ],
      },
    };
  }

  #fresh(name: string): LeaseValue & { readonly name: string } {
    const { host, instance, bootId } = this.#options;
    this.#requests += 1;
    return {
      v: 1,
      state: 'reserved',
      role: 'operator',
      name,
      host,
      request: `${instance}.operator-${this.#requests}`,
      bootId,
      at: this.#deps.clock.wall(),
    };
  }
}

function setKey(key: string, value: string | undefined): Operation {
  return value === undefined ? { do: 'delete', range: { key } } : { do: 'put', key, value };
}

function asSeen(key: string, kv: KeyValue | undefined): Compare {
  return kv === undefined ? { test: 'absent', key } : { test: 'modRevision', key, equals: kv.modRevision };
}

function infoOf(
  { pool, address }: Seen,
  name: string | undefined,
  lease: LeaseValue | undefined,
  changed: boolean,
): ReservationInfo {
  const usedBy = lease === undefined || lease.state === 'reserved' ? undefined : holderText(lease);
  return {
    pool: formatCidr(pool.subnet),
    address: formatIp(address),
    ...(name === undefined ? {} : { name }),
    ...(usedBy === undefined ? {} : { usedBy }),
    changed,
  };
}
