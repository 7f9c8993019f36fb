/** What a session writes to etcd: who the daemon is, and who the host is. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { Conflict } from '../../core/errors.ts';
import type { KeyValue, Operation } from '../../store/kv.ts';
import { decode, type HostValue, hostSchema, type SessionValue } from '../../store/schema.ts';

/** Who speaks; a machine keeps its ids for its life, a boot until the next, an instance for one process. */
export interface SessionIdentity {
  readonly host: string;
  readonly hostname: string;
  readonly machineId: string;
  readonly bootId: string;
  /** Random, new for every process. */
  readonly instance: string;
  readonly version: string;
  /** `host.labels` of the configuration. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** @param fence makes each write a change */
export function sessionText(identity: SessionIdentity, fence: number, wallMs: number): string {
  const { instance, machineId, bootId, hostname } = identity;
  const value: SessionValue = {
    v: 1,
    instance,
    machineId,
    bootId,
    hostname,
    pid: process.pid,
    fence,
    at: wallMs,
  };
  return JSON.stringify(value);
}

/** Why this daemon must not live: which one does. */
export function heldByAnother(host: string, { hostname, machineId, pid }: SessionValue): Conflict {
  return new Conflict(
    `host id "${host}" is held by another living daemon (${hostname}, machine ${machineId}, pid ${pid}): ` +
      'give one of the two another host.name',
  );
}

/**
 * Who this host is, as its configuration says now; since when it is known stays.
 * @param seen what stands at `key`
 */
export function registrationOf(
  identity: SessionIdentity,
  key: string,
  seen: KeyValue | undefined,
  wallMs: number,
): Operation {
  const { machineId, hostname, version, labels = {} } = identity;
  const known = seen === undefined ? undefined : decode(hostSchema, key, seen.value);
  const value: HostValue = {
    v: 1,
    machineId,
    hostname,
    version,
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    firstSeenAt: known?.firstSeenAt ?? wallMs,
  };
  return {
    do: 'txn',
    txn: {
      compare: [
        seen === undefined ? { test: 'absent', key } : { test: 'modRevision', key, equals: seen.modRevision },
      ],
      success: isDeepStrictEqual(known, value) ? [] : [{ do: 'put', key, value: JSON.stringify(value) }],
    },
  };
}
