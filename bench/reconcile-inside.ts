/**
 * The program of `bench reconcile` inside its namespaces: the daemon's own parts (daemon/compose.ts) on a real etcd and
 * the real kernel; the engine is played, it runs and has nothing.
 */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseCidr, usableRange } from '../core/ip.ts';
import { silentLogger } from '../core/log.ts';
import { compose } from '../daemon/compose.ts';
import { configSchema } from '../daemon/config-schema.ts';
import { identityOf } from '../daemon/identity.ts';
import { LiveConfig } from '../daemon/live-config.ts';
import { LeaseSteps } from '../ipam/lease/lease-steps.ts';
import type { KvPort } from '../store/kv.ts';
import { daemonConfig } from './bench-daemon.ts';
import { inBatches, layout, leaseValue, startEtcd } from './bench-etcd.ts';
import { programInside } from './namespaces.ts';
import { type Result, resultOf } from './report.ts';
import { median } from './statistics.ts';

export interface ReconcileOptions {
  /** Empty, on a real disk; everything is written there. */
  readonly folder: string;
  readonly leases: number;
  readonly rounds: number;
}

const HOST = 'bench';
const SUBNET = parseCidr('10.88.0.0/16');
const GAP_SECONDS = 1;
/** Two deletes each; etcd takes 128 operations a transaction. */
const DELETED_AT_ONCE = 60;
/** As many transactions in flight as the committer has. */
const IN_FLIGHT = 2;
/** Older than the grace of a request. */
const AGE_MS = 600_000;
const MOST_OF_RAW = 5;

const ADDRESSES = addresses(20_000);

function addresses(count: number) {
  const { family, first } = usableRange(SUBNET);
  return Array.from({ length: count }, (_, i) => ({ family, value: first + BigInt(i) }));
}

/** Leases as an earlier daemon of this host made them. */
async function leak(kv: KvPort, count: number): Promise<void> {
  const at = Date.now() - AGE_MS;
  await inBatches(ADDRESSES.slice(0, count), DELETED_AT_ONCE, (batch, start) =>
    kv.txn({
      compare: [],
      success: batch.flatMap((address, i) => {
        const value = { ...leaseValue(HOST, `earlier.${start + i}`), at };
        return new LeaseSteps(layout, HOST, SUBNET, address).take(value).txn.success;
      }),
    }),
  );
}

async function deleteRaw(kv: KvPort, count: number): Promise<void> {
  await inBatches(
    ADDRESSES.slice(0, count),
    DELETED_AT_ONCE,
    (batch) =>
      kv.txn({
        compare: [],
        success: batch.flatMap(
          (address) =>
            [
              { do: 'delete', range: { key: layout.lease(SUBNET, address) } },
              { do: 'delete', range: { key: layout.byHostLease(HOST, SUBNET, address) } },
            ] as const,
        ),
      }),
    IN_FLIGHT,
  );
}

/** An engine that runs, and has no networks of ours and no containers. */
async function playEngine(path: string): Promise<void> {
  const networks = ['host', 'null'].map((driver) => ({ Id: driver, Name: driver, Driver: driver }));
  const server = createServer(({ url = '' }, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(url.endsWith('/networks') ? networks : []));
  });
  server.listen(path);
  await once(server, 'listening');
}

async function startDaemon(folder: string, etcd: string) {
  const options = { folder, host: HOST, etcd };
  const settings = configSchema.parse({
    ...daemonConfig(options),
    reconcile: { lookGapSeconds: GAP_SECONDS },
  });
  mkdirSync(settings.state.dir, { recursive: true });
  const config = { ...settings, host: { ...settings.host, name: HOST } };
  const daemon = compose(new LiveConfig(config), identityOf(HOST), silentLogger, (reason) => {
    throw reason;
  });
  for (const records of Object.values(daemon.records)) await records.load();
  await daemon.session.start();
  daemon.committer.pump();
  await daemon.book.load();
  return daemon;
}

async function measure({ folder, leases, rounds }: ReconcileOptions): Promise<Result[]> {
  const etcd = await startEtcd();
  await playEngine(`${folder}/engine.sock`);
  const daemon = await startDaemon(folder, etcd.host);
  const { kv, reconciler } = daemon;
  const times = { whole: [] as number[], own: [] as number[], raw: [] as number[] };
  const mustBeGone = async (): Promise<void> => {
    const { count } = await kv.range({ prefix: layout.byHost(HOST) }, { countOnly: true });
    if (count > 0) throw new Error(`${count} of ${leases} leases are still there`);
  };
  const reconcile = async (): Promise<void> => {
    await leak(kv, leases);
    const start = performance.now();
    const report = await reconciler.run('benchmark', { dryRun: false });
    const ms = performance.now() - start;
    if (report.problem !== undefined) throw new Error(report.problem);
    await mustBeGone();
    times.whole.push(ms);
    times.own.push(ms - GAP_SECONDS * 1000);
  };
  const raw = async (): Promise<void> => {
    await leak(kv, leases);
    const start = performance.now();
    await deleteRaw(kv, leases);
    times.raw.push(performance.now() - start);
    await mustBeGone();
  };
  for (let round = 0; round <= rounds; round += 1) {
    process.stderr.write(round === 0 ? 'warm-up\n' : `round ${round} of ${rounds}\n`);
    for (const turn of round % 2 === 0 ? [reconcile, raw] : [raw, reconcile]) await turn();
    if (round === 0) for (const list of Object.values(times)) list.length = 0;
  }
  const { coolingSeconds } = configSchema.parse({}).ipam;
  const what = `${leases} leaked leases of one host freed (pool with ${coolingSeconds} s of cooling), median of ${rounds}`;
  const reference = {
    what: `the same keys deleted raw, ${DELETED_AT_ONCE} leases a transaction, ${IN_FLIGHT} in flight`,
    value: median(times.raw),
  };
  return [
    resultOf({
      id: 'reconcile.freeing',
      what: `${what}: both looks, deciding and freeing, without the pause between the looks`,
      value: median(times.own),
      unit: 'ms',
      reference,
      atMost: MOST_OF_RAW,
    }),
    resultOf({
      id: 'reconcile.whole',
      what: `${what}: with the pause of ${GAP_SECONDS} s between the looks`,
      value: median(times.whole),
      unit: 'ms',
      reference,
    }),
  ];
}

await programInside(measure);
