/** For tests of pools: what an engine asks of a host, in short words. */
import { expect } from 'chai';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import type { PoolRequest } from '../../ipam/address-service.ts';
import { type IpamHost, soon } from './ipam-host.ts';

/** `docker network create` @returns the PoolID */
export async function network(
  host: IpamHost,
  options: PoolRequest['options'],
  subnet?: string,
): Promise<string> {
  const where = subnet === undefined ? {} : { subnet: parseCidr(subnet) };
  const grant = await host.addresses.requestPool({ family: 4, options, ...where }, soon());
  const { address } = await host.addresses.requestAddress({ poolId: grant.poolId, gateway: true }, soon());
  const subnets = [{ subnet: grant.subnet, gateway: address }];
  await host.addresses.attachNetwork({ networkId: `n-${grant.poolId}-${host.session.host}`, subnets });
  return grant.poolId;
}

/** `docker run` without `--ip`. @param endpointName as engine 29 tells it */
export async function any(host: IpamHost, poolId: string, endpointName?: string): Promise<string> {
  const name = endpointName === undefined ? {} : { endpointName };
  return formatIp((await host.addresses.requestAddress({ poolId, gateway: false, ...name }, soon())).address);
}

export function release(host: IpamHost, poolId: string, address: string): Promise<void> {
  return host.addresses.releaseAddress(poolId, parseIp(address), soon());
}

/** The message of what must fail. */
export async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => expect.fail('it did not fail'),
    (error: Error) => error.message,
  );
}
