/** For tests of leases: hosts on one etcd that are stopped after each test, and what is said of leases in short. */
import { expect } from 'chai';
import { type Cidr, formatIp, parseIp, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import type { KvPort } from '../../store/kv.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import { IpamHost, type IpamHostOptions, layout, soon } from './ipam-host.ts';

export class LeaseHosts {
  #hosts: IpamHost[] = [];
  readonly #etcd: () => string;

  constructor(etcd: () => string) {
    this.#etcd = etcd;
  }

  async start(name: string, options: Partial<IpamHostOptions> = {}): Promise<IpamHost> {
    const host = await IpamHost.start({ etcd: this.#etcd(), name, ...options });
    this.#hosts.push(host);
    return host;
  }

  /** As after kill -9; its folder is its successor's. */
  abandon(host: IpamHost): void {
    host.abandon();
    this.#hosts = this.#hosts.filter((other) => other !== host);
  }

  async stop(): Promise<void> {
    for (const host of this.#hosts) await host.stop();
    this.#hosts = [];
  }
}

/** The store with some of its calls replaced. */
export function withCalls(kv: KvPort, calls: Partial<KvPort>): KvPort {
  return {
    range: (...given) => kv.range(...given),
    txn: (...given) => kv.txn(...given),
    ttlGrant: (...given) => kv.ttlGrant(...given),
    ttlKeepAlive: (...given) => kv.ttlKeepAlive(...given),
    ttlRevoke: (...given) => kv.ttlRevoke(...given),
    watch: (...given) => kv.watch(...given),
    status: (...given) => kv.status(...given),
    close: () => kv.close(),
    ...calls,
  };
}

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
