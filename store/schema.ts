/**
 * The values in etcd: JSON with a version `v`, decoded here and nowhere else. A value that does not fit is an
 * InternalError that names the key; it is never guessed at.
 */
import { z } from 'zod';
import { InternalError, oneLine } from '../core/errors.ts';

const ip = z.string();
const time = z.number().int().describe('milliseconds since the epoch, for people only');

const range = z.object({ first: ip, last: ip }).describe('inclusive');
/** Labels that a host must have, all of them. */
const hostSelector = z.record(z.string(), z.string());

/** A part of a pool with users of its own. */
export const poolRangeSchema = range.extend({
  /** For `--ipam-opt range=NAME`. */
  name: z.string().optional(),
  /** Hosts that may take from it; absent: all. */
  hosts: hostSelector.optional(),
  /** Container names that may take from it, with `*`; absent: all. Known from engine 29 on. */
  containers: z.string().optional(),
  /** Only by name, reservation or `--ip`. */
  select: z.literal('none').optional(),
});
export type PoolRangeValue = z.infer<typeof poolRangeSchema>;

export const poolSchema = z.object({
  v: z.literal(1),
  subnet: z.string(),
  gateway: ip.optional(),
  /** Who made it: the host whose `docker network create` came first, or where an operator made it. */
  madeBy: z.string(),
  at: time,
  /** An operator's pool: it stays when nobody uses it. Absent: made by a `docker network create`. */
  name: z.string().optional(),
  /** Networks on the pool are in this VLAN. */
  vlan: z.number().int().optional(),
  /** Where addresses are taken from; absent: the whole subnet. */
  ranges: z.array(poolRangeSchema).optional(),
  /** Never given out automatically. */
  excludes: z.array(range).optional(),
  /** Who gets the pool without naming it: `none`, or hosts with these labels; absent: nobody is preferred. */
  select: z.union([z.literal('none'), hostSelector]).optional(),
  /** Where a selector does not fit, what is free elsewhere may be taken. */
  borrow: z.boolean().optional(),
  quotaPerHost: z.number().int().optional(),
  /** How long a released address rests. */
  coolingSeconds: z.number().int().optional(),
  /** An address follows its container's name. */
  sticky: z.boolean().optional(),
  /** How long a sticky address is kept for its name after its release. */
  keepSeconds: z.number().int().optional(),
  /** First two bytes of the MACs, instead of the configured ones. */
  macPrefix: z.string().optional(),
  /** For networks and containers that say nothing of their own. */
  defaults: z
    .object({ netIn: z.string().optional(), netOut: z.string().optional(), arp: z.string().optional() })
    .optional(),
});
export type PoolValue = z.infer<typeof poolSchema>;

/** How the limit of one direction stands; written by the host that holds the lease. */
export const leaseLimitSchema = z.object({
  /** `100mbit`, or `none` where somebody has said so. */
  rate: z.string(),
  source: z.string().optional().describe('who said it: override, endpoint, env, label, network, pool, cap'),
  state: z.enum(['in force', 'not in force']),
  /** What of the kernel's enforces it, e.g. `tbf`. */
  how: z.string().optional(),
  /** Why it is not in force, or not as it was wished. */
  reason: z.string().optional(),
});
export type LeaseLimitValue = z.infer<typeof leaseLimitSchema>;

/** A direction that is absent has no limit, and nobody has said anything about it. */
export const leaseLimitsSchema = z.object({
  in: leaseLimitSchema.optional(),
  out: leaseLimitSchema.optional(),
});
export type LeaseLimits = z.infer<typeof leaseLimitsSchema>;

export const leaseSchema = z.object({
  v: z.literal(1),
  /**
   * pending: asked for, not yet seen running; bound: an endpoint has it; warm: a host has it in stock;
   * reserved: nobody's for now (`role` says for what), and in no host's index.
   */
  state: z.enum(['pending', 'bound', 'warm', 'reserved']),
  /**
   * gateway, aux: for networks. operator, sticky: the address belongs to `name`; also on a lease that is in use, and
   * then it becomes reserved again with its release. quarantine: a stranger on the wire uses it, with `macAddress`.
   */
  role: z.enum(['gateway', 'aux', 'operator', 'sticky', 'quarantine']).optional(),
  /** Container name, or an operator's key. */
  name: z.string().optional(),
  /** sticky: how long it stays reserved after its release (a TTL of etcd); absent: for ever. quarantine: how long at all. */
  keepSeconds: z.number().int().optional(),
  /** The host that holds it; for reserved addresses the last that had it, or the first that asked. */
  host: z.string(),
  /** `<instance>.<number>`: the request that made it, so that a lost answer can be recognised as ours. */
  request: z.string(),
  bootId: z.string(),
  at: time,
  endpointId: z.string().optional(),
  networkId: z.string().optional(),
  containerId: z.string().optional(),
  containerName: z.string().optional(),
  macAddress: z.string().optional(),
  /** Its MAC is not the one that follows from the address; `macs/` says it, too, written in the same transaction. */
  fixedMac: z.string().optional(),
  /** What the container may receive and send; absent: no limits. */
  limits: leaseLimitsSchema.optional(),
});
export type LeaseValue = z.infer<typeof leaseSchema>;

/** A limit that people set, by container name and direction. Texts as everywhere (store/limit-value.ts reads them). */
export const limitSchema = z.object({
  v: z.literal(1),
  /** `none`: no limit, whatever others say. */
  rate: z.string(),
  burst: z.string().optional(),
  peak: z.string().optional(),
  min: z.string().optional(),
});
export type LimitValue = z.infer<typeof limitSchema>;

const bitsPerSecond = z.number().nonnegative();
/** Of one parent link of a host, both ways as its containers see it: `in` is what they receive. */
export const parentBandwidthSchema = z.object({
  /** Absent: it is not known. */
  capacityInBitsPerSecond: bitsPerSecond.optional(),
  capacityOutBitsPerSecond: bitsPerSecond.optional(),
  /** The sum of the limits of its containers. */
  committedInBitsPerSecond: bitsPerSecond,
  committedOutBitsPerSecond: bitsPerSecond,
  /** What a container may still ask for: capacity x overcommit - committed. Absent without a capacity. */
  freeInBitsPerSecond: bitsPerSecond.optional(),
  freeOutBitsPerSecond: bitsPerSecond.optional(),
  overcommit: z.number().positive(),
});
export type ParentBandwidth = z.infer<typeof parentBandwidthSchema>;

/** What a host says of its bandwidth, for schedulers and people. */
export const bandwidthSchema = z.object({
  v: z.literal(1),
  at: time,
  parents: z.record(z.string(), parentBandwidthSchema),
});
export type BandwidthValue = z.infer<typeof bandwidthSchema>;

/** An address whose MAC cannot be computed: every host watches all of these, and they are few. */
export const macSchema = z.object({
  v: z.literal(1),
  /** Absent: nobody knows, it is to be asked for on the wire. */
  mac: z.string().optional(),
});
export type MacValue = z.infer<typeof macSchema>;

/** A host's own addresses on the segments of its networks: machines like any other there, and no containers. */
export const stationSchema = z.object({ v: z.literal(1), addresses: z.array(ip) });
export type StationValue = z.infer<typeof stationSchema>;

/** Which address a name has in a pool; written in the same transaction as that lease. */
export const nameSchema = z.object({ v: z.literal(1), address: ip });
export type NameValue = z.infer<typeof nameSchema>;

/** A host that holds leases and has no living daemon; gone as soon as one lives again. */
export const deadSchema = z.object({ v: z.literal(1), since: time, noticedBy: z.string() });
export type DeadValue = z.infer<typeof deadSchema>;

export const sessionSchema = z.object({
  v: z.literal(1),
  /** Random, new for every daemon process. */
  instance: z.string(),
  machineId: z.string(),
  bootId: z.string(),
  pid: z.number().int(),
  hostname: z.string(),
  /** Counts the fence bumps; only makes each write a change. */
  fence: z.number().int(),
  at: time,
});
export type SessionValue = z.infer<typeof sessionSchema>;

export const hostSchema = z.object({
  v: z.literal(1),
  machineId: z.string(),
  hostname: z.string(),
  version: z.string(),
  /** From `host.labels` of its configuration. */
  labels: z.record(z.string(), z.string()).optional(),
  firstSeenAt: time,
});
export type HostValue = z.infer<typeof hostSchema>;

/** @throws InternalError that names the key */
export function decode<T>(schema: z.ZodType<T>, key: string, value: string): T {
  const parsed = schema.safeParse(parseJson(value));
  if (parsed.success) return parsed.data;
  throw new InternalError(
    `the value of ${key} in etcd is damaged: ${oneLine(z.prettifyError(parsed.error))}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
