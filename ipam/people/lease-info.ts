/** A lease as people see it, and which leases a person asked for. Pure. */
import { type Cidr, formatCidr, formatIp, type IpAddress } from '../../core/ip.ts';
import type { LeaseValue } from '../../store/schema.ts';
import type { LeaseFilter, LeaseInfo } from '../inventory.ts';

export function leaseInfo(subnet: Cidr, address: IpAddress, lease: LeaseValue): LeaseInfo {
  const { v: _v, request: _request, bootId: _bootId, keepSeconds: _keepSeconds, at, ...value } = lease;
  return {
    pool: formatCidr(subnet),
    address: formatIp(address),
    ...withoutUndefined(value),
    since: new Date(at).toISOString(),
  };
}

/** Does it have the name and the state that were asked for? Pool and host are not looked at. */
export function isAskedFor(lease: LeaseInfo, { name, state }: LeaseFilter): boolean {
  if (state !== undefined && lease.state !== state) return false;
  return name === undefined || lease.name === name || lease.containerName === name;
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** zod's optional keys may be present and undefined; ours are absent. */
function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Defined<T>;
}
