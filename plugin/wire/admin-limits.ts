/**
 * Bandwidth limits and usage over the admin socket: paths, requests, answers. Rates and sizes are texts as people write them
 * (docs/limits.md), so that there is one place that reads them: core/limit-text.ts.
 */
import { z } from 'zod';
import type { LeaseOutcome, LimitChange } from '../../ipam/people/limit-orders.ts';
import type { LeaseLimitValue } from '../../store/schema.ts';
import type { TrafficFigures } from '../../throttle/traffic-meter.ts';

export type { LeaseOutcome, LimitChange, TrafficFigures };

export const LIMIT_PATHS = {
  /** GET `?host=h2` or `?all=true`; else of this host: a `LimitReport`. */
  list: '/v1/limits',
  /** POST: a `LimitChange`. */
  set: '/v1/limits/set',
  /** POST: a `LimitChange`. */
  remove: '/v1/limits/remove',
  /** POST of leases: what their hosts have written, `LeaseOutcome[]`. */
  outcomes: '/v1/limits/outcomes',
  /** GET: what the containers of this host receive and send now, `UsageInfo[]`. While it is asked it is counted every second. */
  usage: '/v1/usage',
} as const;

export const LIMITS_DIRECTIONS = ['in', 'out'] as const;

const text = z.string().max(1000);
const container = text.min(1);
const host = text.min(1).exactOptional();
const texts = z.strictObject({
  rate: text.exactOptional(),
  burst: text.exactOptional(),
  peak: text.exactOptional(),
  min: text.exactOptional(),
});

export const limitsQuery = z.strictObject({ host, all: z.literal('true').exactOptional() });

export const setLimitRequest = z.strictObject({
  /** Its name, an address, or the beginning of its id. */
  container,
  /** Only on that host. */
  host,
  in: texts.exactOptional(),
  out: texts.exactOptional(),
});
export type SetLimitRequest = z.input<typeof setLimitRequest>;

export const removeLimitRequest = z.strictObject({
  container,
  host,
  directions: z.array(z.enum(LIMITS_DIRECTIONS)).min(1).max(2),
});
export type RemoveLimitRequest = z.input<typeof removeLimitRequest>;

export const outcomesRequest = z.strictObject({
  leases: z.array(z.strictObject({ pool: text, address: text })).max(100),
});
export type OutcomesRequest = z.input<typeof outcomesRequest>;

/** How the limit of one direction stands. */
export interface DirectionInfo extends LeaseLimitValue {
  /** All of the limit for people: `100mbit, burst 64kb`; absent where only its rate is known. */
  readonly limit?: string;
}

/** A container's limits. */
export interface LimitInfo {
  readonly host: string;
  readonly addresses: readonly string[];
  readonly endpointId?: string;
  readonly containerId?: string;
  readonly containerName?: string;
  /** Of this host's containers only, as the next three. */
  readonly enforce?: 'sandbox' | 'host';
  /** It can undo what stands in its sandbox. */
  readonly netAdmin?: boolean;
  /** How often something had undone it since the daemon's start. */
  readonly mended?: number;
  /** Absent: nobody has said anything. */
  readonly in?: DirectionInfo;
  readonly out?: DirectionInfo;
}

/** A limit that people have set for a name that no container has there. */
export interface UnusedLimit {
  readonly containerName: string;
  /** Absent: on all hosts. */
  readonly host?: string;
  readonly direction: 'in' | 'out';
  /** `100mbit, burst 64kb`, `none`; absent: it cannot be read. */
  readonly limit?: string;
  readonly problem?: string;
}

export interface LimitReport {
  readonly limits: readonly LimitInfo[];
  readonly unused: readonly UnusedLimit[];
}

export interface DirectionUsage extends TrafficFigures {
  /** Absent: no limit. */
  readonly limitBitsPerSecond?: number;
}

export interface UsageInfo {
  readonly endpointId: string;
  readonly networkId?: string;
  readonly containerId?: string;
  readonly containerName?: string;
  readonly addresses: readonly string[];
  readonly in: DirectionUsage;
  readonly out: DirectionUsage;
}
