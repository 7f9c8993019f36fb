/**
 * An operator's reservation of an address for a name: what becomes of the lease that stands there, or why it cannot be.
 * Pure; ipam/people/reservations.ts reads and writes.
 */
import { Conflict, InvalidRequest } from '../../core/errors.ts';
import { type Cidr, formatCidr, formatIp, type IpAddress, rangeHas, usableRange } from '../../core/ip.ts';
import type { LeaseValue, PoolValue } from '../../store/schema.ts';
import { holderText } from '../lease/lease-steps.ts';

/** What docker takes as a container's name, and what fits into a key. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** @throws InvalidRequest */
export function checkReservationName(name: string): void {
  if (NAME.test(name)) return;
  const shown = name.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
  throw new InvalidRequest(
    `"${shown}" is not a name for a reservation: use 1 to 128 letters, digits, dots, dashes and underscores`,
  );
}

/** @param address in the subnet @throws InvalidRequest, Conflict: addresses that no container can have */
export function checkReservable(subnet: Cidr, address: IpAddress, pool: PoolValue): void {
  const text = formatIp(address);
  const range = usableRange(subnet);
  const within = [range.first, range.last].map((value) => formatIp({ family: subnet.family, value }));
  const choose = `choose one from ${within.join(' to ')}`;
  if (!rangeHas(range, address)) {
    const what = address.value < range.first ? 'network' : 'broadcast';
    throw new InvalidRequest(
      `address ${text} is the ${what} address of pool ${formatCidr(subnet)}: ${choose}`,
    );
  }
  if (pool.gateway === text)
    throw new Conflict(`address ${text} is the gateway of pool ${formatCidr(subnet)}: choose another one`);
}

/**
 * The lease with the reservation.
 * @param fresh for an address that is free
 * @returns undefined if it is reserved for the name already
 * @throws Conflict
 */
export function withReservation(
  address: IpAddress,
  there: LeaseValue | undefined,
  fresh: LeaseValue & { readonly name: string },
): LeaseValue | undefined {
  if (there === undefined) return fresh;
  const text = formatIp(address);
  const { role, name } = there;
  if (role === 'gateway' || role === 'aux')
    throw new Conflict(`address ${text} cannot be reserved: ${holderText(there)}; choose another one`);
  if (there.state === 'warm') {
    throw new Conflict(
      `address ${text} cannot be reserved now: ${holderText(there)}; choose another one, or wait until it is given back`,
    );
  }
  if (role !== undefined && name !== undefined && name !== fresh.name) {
    const whose = role === 'operator' ? `reserved for "${name}"` : `kept for the container name "${name}"`;
    throw new Conflict(
      `address ${text} is ${whose}: choose another one, or end that first (lanius ip unreserve ${text})`,
    );
  }
  if (role === 'operator' && name === fresh.name) return undefined;
  if (role === 'quarantine') return fresh;
  const { keepSeconds: _keepSeconds, ...rest } = there;
  return { ...rest, role: 'operator', name: fresh.name };
}

/** @returns what stays, `free` if nothing does, undefined if the address is not reserved @throws Conflict */
export function withoutReservation(
  address: IpAddress,
  there: LeaseValue | undefined,
): LeaseValue | 'free' | undefined {
  if (there === undefined) return undefined;
  const { role, name: _name, keepSeconds: _keepSeconds, ...rest } = there;
  if (role === 'gateway' || role === 'aux') {
    throw new Conflict(
      `address ${formatIp(address)} is a gateway or auxiliary address: it goes with the last network that names it`,
    );
  }
  if (there.state === 'reserved') return 'free';
  return role === undefined ? undefined : rest;
}
