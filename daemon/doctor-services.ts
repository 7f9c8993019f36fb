/** Doctor's checks of what the daemon talks with: the engine, etcd, and its own socket seen from outside. */
import { request } from 'node:http';
import { z } from 'zod';
import type { EnginePort } from '../engine/port.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';
import type { KvPort } from '../store/kv.ts';

export async function checkEngine(
  engine: Pick<EnginePort, 'version'>,
  timeoutMs: number,
): Promise<DoctorCheck[]> {
  try {
    const { version, apiVersion } = await engine.version(timeoutMs);
    const finding = `Docker ${version} answers (API ${apiVersion})`;
    // moby issue 51554: dockerd crashes on RevokeExternalConnectivity of any remote driver; fixed in 29.0.3
    if (/^29\.0\.[0-2](\D|$)/.test(version)) {
      const remedy = 'update Docker to 29.0.3 or newer';
      return [
        {
          check: 'engine',
          status: 'warn',
          finding: `${finding}; this version crashes when a container of a plugin network stops`,
          remedy,
        },
      ];
    }
    return [{ check: 'engine', status: 'ok', finding }];
  } catch (error) {
    return [
      {
        check: 'engine',
        status: 'fail',
        finding: textOf(error),
        remedy: 'systemctl status docker; containers that run are not affected',
      },
    ];
  }
}

/** etcd before 3.4.32 and 3.5.14 can lose its consistency (etcd issue 14211); 3.5.0 to 3.5.2 lose data. */
export function isFaultyEtcd(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  if (major !== 3) return major < 3;
  if (minor === 5) return patch < 14;
  return minor < 4 || (minor === 4 && patch < 32);
}

export async function checkStore(store: Pick<KvPort, 'status'>, timeoutMs: number): Promise<DoctorCheck[]> {
  try {
    const { version, dbSizeBytes, leader, alarms } = await store.status({ timeoutMs });
    const checks: DoctorCheck[] = [];
    const megabytes = Math.ceil(dbSizeBytes / 1_000_000);
    const finding = `etcd ${version} answers, database of ${megabytes} MB`;
    if (isFaultyEtcd(version)) {
      checks.push({
        check: 'etcd',
        status: 'warn',
        finding: `${finding}; this version has faults that can lose data`,
        remedy: 'update etcd to 3.4.32, 3.5.14 or newer',
      });
    } else checks.push({ check: 'etcd', status: 'ok', finding });
    if (leader === '' || leader === '0') {
      const remedy = 'bring back a majority of the members: etcdctl endpoint status --cluster';
      checks.push({ check: 'etcd leader', status: 'fail', finding: 'etcd has no leader', remedy });
    }
    for (const alarm of alarms) {
      checks.push({
        check: 'etcd alarm',
        status: 'fail',
        finding: `etcd raised the alarm ${alarm}${alarm === 'NOSPACE' ? ': it takes no writes' : ''}`,
        remedy:
          alarm === 'NOSPACE'
            ? 'etcdctl compact, etcdctl defrag, then etcdctl alarm disarm; raise --quota-backend-bytes'
            : 'etcdctl alarm list',
      });
    }
    return checks;
  } catch (error) {
    return [
      {
        check: 'etcd',
        status: 'fail',
        finding: textOf(error),
        remedy: 'check etcd.hosts (lanius config show) and the cluster: new containers fail meanwhile',
      },
    ];
  }
}

/** A history that is longer than this was not compacted for a long time. In revisions, each a change of etcd. */
const LONG_HISTORY = 200_000;
/** Below this an etcd is too young to tell. */
const YOUNG = 250_000;

/**
 * Does etcd still have an old revision? Then nobody compacts its history, and it grows until the quota stops all writes.
 * @param key that the daemon may read
 */
export async function checkCompaction(
  store: Pick<KvPort, 'status' | 'range'>,
  key: string,
  timeoutMs: number,
): Promise<DoctorCheck[]> {
  const check = 'etcd compaction';
  // An etcd that does not answer is told of by checkStore.
  const status = await store.status({ timeoutMs }).catch(() => undefined);
  if (status === undefined) return [];
  const { revision, dbSizeBytes } = status;
  if (revision <= YOUNG) return [];
  const old = { revision: revision - LONG_HISTORY, countOnly: true, timeoutMs };
  const kept = await store.range({ key }, old).then(
    () => true,
    () => false,
  );
  if (!kept) return [{ check, status: 'ok', finding: 'old history is compacted away' }];
  const megabytes = Math.ceil(dbSizeBytes / 1_000_000);
  return [
    {
      check,
      status: 'warn',
      finding: `the last ${LONG_HISTORY} changes are all kept (database of ${megabytes} MB): nothing seems to compact etcd, which fills up`,
      remedy:
        'start etcd with --auto-compaction-mode=periodic --auto-compaction-retention=10m; what is there: etcdctl compact, etcdctl defrag',
    },
  ];
}

const activateReply = z.object({ Implements: z.array(z.string()) });

/** Asks as dockerd would: POST /Plugin.Activate without a body. */
export async function checkPluginSocket(path: string, timeoutMs: number): Promise<DoctorCheck[]> {
  const check = 'plugin socket';
  try {
    const reply = activateReply.parse(JSON.parse(await post(path, '/Plugin.Activate', timeoutMs)));
    const missing = ['NetworkDriver', 'IpamDriver'].filter((name) => !reply.Implements.includes(name));
    if (missing.length === 0) return [{ check, status: 'ok', finding: `${path} answers` }];
    const finding = `${path} answers, but not as a ${missing.join(' and ')}: another program has it`;
    return [{ check, status: 'fail', finding, remedy: 'systemctl restart lanius' }];
  } catch (error) {
    const finding = `${path} does not answer: ${textOf(error)}`;
    return [{ check, status: 'fail', finding, remedy: 'systemctl restart lanius' }];
  }
}

function post(socketPath: string, path: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath, path, method: 'POST', timeout: timeoutMs, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
        response.on('error', reject);
      },
    );
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on('error', reject);
    call.end();
  });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
