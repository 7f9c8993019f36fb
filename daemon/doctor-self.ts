/** Doctor's checks of the daemon itself: its session, its last reconciliation, its disk. */
import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReconcileReport } from '../ipam/inventory.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';

const LEAST_FREE_BYTES = 100_000_000;
/** A run that is older than this many intervals is late. */
const LATE_INTERVALS = 3;

export function checkSession(held: boolean): DoctorCheck[] {
  if (held) return [{ check: 'session', status: 'ok', finding: "this host's session in etcd is held" }];
  return [
    {
      check: 'session',
      status: 'fail',
      finding: 'this host has no session in etcd: no address can be leased',
      remedy:
        'if etcd answers, another daemon may use the same host.name (lanius host ls, journalctl -u lanius)',
    },
  ];
}

export function checkReconciliation(
  last: ReconcileReport | undefined,
  nowMs: number,
  intervalSeconds: number,
): DoctorCheck[] {
  const check = 'reconciliation';
  const remedy = 'lanius reconcile --dry-run';
  if (last === undefined) {
    return [{ check, status: 'warn', finding: 'none has run since the daemon started', remedy }];
  }
  if (last.problem !== undefined) {
    return [{ check, status: 'warn', finding: `the last one changed nothing: ${last.problem}`, remedy }];
  }
  const ageSeconds = Math.max(0, Math.round((nowMs - Date.parse(last.at)) / 1000));
  const finding = `the last one was ${ageSeconds} s ago with ${last.decisions.length} decisions`;
  const late = ageSeconds > LATE_INTERVALS * intervalSeconds;
  return [late ? { check, status: 'warn', finding, remedy } : { check, status: 'ok', finding }];
}

/** Writable, and room for more; a full disk would make every call of the engine fail. */
export async function checkStateDir(dir: string): Promise<DoctorCheck[]> {
  const check = 'state';
  const probe = join(dir, `.doctor-${process.pid}`);
  try {
    await writeFile(probe, 'x');
    await rm(probe);
  } catch (error) {
    const finding = `${dir} cannot be written: ${error instanceof Error ? error.message : String(error)}`;
    return [{ check, status: 'fail', finding, remedy: 'check the mount and the free space (df, dmesg)' }];
  }
  const { bavail, bsize } = await statfs(dir);
  const freeBytes = bavail * bsize;
  const finding = `${dir} is writable, ${Math.floor(freeBytes / 1_000_000)} MB are free`;
  if (freeBytes >= LEAST_FREE_BYTES) return [{ check, status: 'ok', finding }];
  return [
    { check, status: 'warn', finding, remedy: 'make room: the daemon and its etcd stop when it is full' },
  ];
}
