/** Who this daemon is: host, machine, boot, process. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { randomId } from '../core/ids.ts';
import { packageVersion } from '../core/version.ts';

export interface Identity {
  readonly host: string;
  readonly hostname: string;
  /** /etc/machine-id; tells two machines with one host name apart. */
  readonly machineId: string;
  readonly bootId: string;
  /** Random, new for every process. */
  readonly instance: string;
  readonly version: string;
}

/** @see machine-id(5), random(4) /proc/sys/kernel/random/boot_id */
export function identityOf(host: string): Identity {
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
