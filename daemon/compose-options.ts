/** From the settings of the daemon to the options of its parts, where that takes more than handing them on. */
import { readFileSync } from 'node:fs';
import { systemClock as clock } from '../core/clock.ts';
import { parseCidr, parseIp } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { Addresses } from '../ipam/addresses.ts';
import type { Session } from '../ipam/commit/session.ts';
import type { Leases } from '../ipam/lease/leases.ts';
import { fullnessOf } from '../ipam/warm/fullness.ts';
import { WarmStock } from '../ipam/warm/warm-stock.ts';
import type { EtcdKv } from '../store/etcd-kv.ts';
import type { Layout } from '../store/layout.ts';
import type { Config } from './config-schema.ts';

/** With the password read from its file. */
export function etcdOptions({ etcd }: Config): ConstructorParameters<typeof EtcdKv>[0] {
  const { username, passwordFile } = etcd.auth;
  const hosts = etcd.hosts.length > 0 ? etcd.hosts : [`127.0.0.1:${etcd.embedded.clientPort}`];
  const auth =
    username === undefined || passwordFile === undefined
      ? {}
      : { auth: { username, password: readFileSync(passwordFile, 'utf8').replace(/\n$/, '') } };
  const tls = Object.keys(etcd.tls).length === 0 ? {} : { tls: etcd.tls };
  return { hosts, timeoutMs: etcd.timeoutMs, ...tls, ...auth };
}

/** None by default. With a grace period for dead hosts it is given out only as long as this one cannot count as dead. */
export function warmStockOf(
  { ipam, reconcile }: Config,
  deps: {
    readonly leases: Leases;
    readonly session: Session;
    readonly kv: EtcdKv;
    readonly layout: Layout;
    readonly logger: Logger;
  },
): WarmStock | undefined {
  if (ipam.warmStock === 0) return undefined;
  const { leases, session, logger } = deps;
  const graceMs = reconcile.deadHostGraceSeconds * 1000;
  const mayGiveOut = (): boolean =>
    graceMs === 0 || clock.now() - (session.provenAtMs ?? Number.NEGATIVE_INFINITY) < graceMs;
  return new WarmStock(
    { size: ipam.warmStock, idleMs: ipam.warmIdleSeconds * 1000 },
    { leases, fullness: fullnessOf(deps, Math.random), mayGiveOut, clock, logger },
  );
}

export function addressesOptions({ host, ipam }: Config): ConstructorParameters<typeof Addresses>[0] {
  const { labels } = host;
  const configuredPools = ipam.pools.map(({ name, subnet, range, gateway }) => ({
    name,
    subnet: parseCidr(subnet),
    ...(range === undefined ? {} : { range: parseCidr(range) }),
    ...(gateway === undefined ? {} : { gateway: parseIp(gateway) }),
  }));
  const only = configuredPools.length === 1 ? configuredPools[0]?.name : undefined;
  const defaultPool = ipam.defaultPool ?? only;
  return { configuredPools, labels, ...(defaultPool === undefined ? {} : { defaultPool }) };
}
