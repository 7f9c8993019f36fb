/** Who this daemon is: host, machine, boot, process. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { randomId } from '../core/ids.ts';
import { packageVersion } from '../core/version.ts';
import type { SessionIdentity } from '../ipam/commit/session-values.ts';

/** @see machine-id(5), random(4) /proc/sys/kernel/random/boot_id */
export function identityOf(host: string): SessionIdentity {
  return {
    host,
    hostname: hostname(),
    machineId: readLine('/etc/machine-id') ?? hostname(),
    bootId: readLine('/proc/sys/kernel/random/boot_id') ?? 'unknown',
    instance: randomId(8),
    version: packageVersion(),
  };
}

function readLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
