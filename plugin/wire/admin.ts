/**
 * What the daemon answers to operators on its admin socket: paths, requests, answers. HTTP with JSON; the
 * answer of a failure is `{"error":{"code","message"}}` with a 4xx or 5xx status.
 *
 * Nothing of this is read by the engine. docs/cli.md shows the commands that use it.
 */
import { z } from 'zod';
import type { ErrorCode } from '../../core/errors.ts';
import type { Decision, HostInfo, LeaseInfo, PoolInfo, ReconcileReport } from '../../ipam/inventory.ts';
import type { Belonging } from '../../links/belongings.ts';

export type { Belonging, Decision, HostInfo, LeaseInfo, PoolInfo, ReconcileReport };

export const DEFAULT_ADMIN_SOCKET = '/run/lanius/admin.sock';

export const ADMIN_PATHS = {
  version: '/v1/version',
  pools: '/v1/pools',
  /** `?pool=10.77.0.0/16&host=h1&name=web&state=bound`, all optional. */
  leases: '/v1/leases',
  release: '/v1/leases/release',
  hosts: '/v1/hosts',
  networks: '/v1/networks',
  doctor: '/v1/doctor',
  /** What of ours stands in the kernel of this host, and who owns it. */
  leaks: '/v1/leaks',
  /** GET: the last run, or null. POST: a run now. */
  reconcile: '/v1/reconcile',
} as const;

/** Header of an answer from this host's memory, because etcd did not answer. */
export const STALE_HEADER = 'Lanius-Stale';
/** Its value: what people are told. */
export const STALE_NOTE = 'etcd does not answer: this is what this host knows, and may be out of date';

export const LEASE_STATES = ['pending', 'bound', 'warm', 'reserved'] as const;

export const leasesQuery = z.strictObject({
  /** Subnet or name. */
  pool: z.string().min(1).exactOptional(),
  /** Held by this host. */
  host: z
    .string()
    .regex(/^[^/]+$/, 'is not the name of a host')
    .exactOptional(),
  name: z.string().min(1).exactOptional(),
  state: z.enum(LEASE_STATES, `must be one of ${LEASE_STATES.join(', ')}`).exactOptional(),
});

/** Body of POST /v1/leases/release. */
export const releaseRequest = z.strictObject({
  /** Subnet of the pool. Absent: the only pool whose subnet holds the address. */
  pool: z.string().min(1).exactOptional(),
  address: z.string().min(1),
  /** Also if a running container has the address. */
  force: z.boolean().default(false),
});
export type ReleaseRequest = z.input<typeof releaseRequest>;

/** Body of POST /v1/reconcile. */
export const reconcileRequest = z.strictObject({
  /** Only say what would be done. */
  dryRun: z.boolean().default(false),
});
export type ReconcileRequest = z.input<typeof reconcileRequest>;

export interface VersionInfo {
  readonly version: string;
  /** Of the daemon, e.g. `v20.20.2`. */
  readonly node: string;
  readonly host: string;
}

/** A `docker network` of this host. */
export interface NetworkInfo {
  readonly networkId: string;
  /** Known if the engine was asked. */
  readonly name?: string;
  readonly parent: string;
  readonly mode: string;
  readonly macvlanMode?: string;
  readonly mtuBytes?: number;
  /** How ARP is kept off the wire; absent as long as etcd has not answered. */
  readonly arp?: {
    /** `-o arp=`, or the default of the pool, or `auto`. */
    readonly wish: 'auto' | 'preload' | 'responder' | 'off';
    readonly how: 'preload' | 'responder' | 'off';
    /** Planned addresses. */
    readonly entries: number;
    readonly reason: string;
    /** The wish cannot be had. */
    readonly problem?: string;
  };
  readonly internal: boolean;
  readonly subnets: readonly string[];
  /** Number of endpoints. */
  readonly endpoints: number;
}

export type CheckStatus = 'ok' | 'warn' | 'fail';

export interface DoctorCheck {
  /** e.g. `kernel`, `engine`, `parent eth0.100`. */
  readonly check: string;
  readonly status: CheckStatus;
  /** What was found, one line. */
  readonly finding: string;
  /** What to do about it. */
  readonly remedy?: string;
}

export interface DoctorReport {
  /** No check failed; warnings do not count. */
  readonly ok: boolean;
  readonly checks: readonly DoctorCheck[];
}

export interface LeakReport {
  /** Everything has an owner. */
  readonly ok: boolean;
  readonly belongings: readonly Belonging[];
}

export const errorReply = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
export interface ErrorReply {
  readonly error: { readonly code: ErrorCode; readonly message: string };
}
