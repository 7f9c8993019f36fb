/** Hosts with operators' pools on a real etcd, and what an engine asks of them, in short words. */
import { expect } from 'chai';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import type { PoolRequest } from '../../ipam/address-service.ts';
import type { EtcdProcess } from './etcd-process.ts';
import { IpamHost, type IpamHostOptions, layout, soon } from './ipam-host.ts';

export class PoolHosts {
  readonly #etcd: EtcdProcess;
  #hosts: IpamHost[] = [];

  constructor(etcd: EtcdProcess) {
    this.#etcd = etcd;
  }

  async start(name: string, options: Partial<IpamHostOptions> = {}): Promise<IpamHost> {
    const host = await IpamHost.start({ etcd: this.#etcd.host, name, ...options });
    this.#hosts.push(host);
    return host;
  }

  /** Ends them and empties etcd: pools stay until they are removed, and would be chosen in the next test. */
  async stop(): Promise<void> {
    const everything = { do: 'delete', range: { prefix: layout.prefix } } as const;
    await this.#hosts[0]?.kv.txn({ compare: [], success: [everything] });
    for (const host of this.#hosts.splice(0)) await host.stop();
  }
}

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
