/** For tests of leases: what is asked and said of them, in short words. */
import { expect } from 'chai';
import { type Cidr, formatIp, parseIp, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import { type IpamHost, layout, soon } from './ipam-host.ts';

/** Any address of the subnet. */
export async function takeAny(host: IpamHost, subnet: Cidr, timeoutMs = 4000): Promise<string> {
  return formatIp(await host.leases.takeAny(subnet, choiceOf(usableRange(subnet)), soon(timeoutMs)));
}

export async function release(host: IpamHost, subnet: Cidr, address: string): Promise<void> {
  await host.leases.release(subnet, parseIp(address));
}

/** The message of the error that it must end with. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => expect.fail('it did not fail'),
    (error: Error) => error.message,
  );
}

/** The lease key as etcd has it. */
export async function leaseOf(
  host: IpamHost,
  subnet: Cidr,
  address: string,
): Promise<LeaseValue | undefined> {
  const kv = (await host.kv.range({ key: layout.lease(subnet, parseIp(address)) })).kvs[0];
  return kv === undefined ? undefined : decode(leaseSchema, kv.key, kv.value);
}

export async function countOf(host: IpamHost, prefix: string): Promise<number> {
  return (await host.kv.range({ prefix }, { countOnly: true })).count;
}
