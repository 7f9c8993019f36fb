/**
 * The values in etcd: JSON with a version `v`, decoded here and nowhere else. A value that does not fit is an
 * InternalError that names the key; it is never guessed at.
 */
import { z } from 'zod';
import { InternalError } from '../core/errors.ts';

const ip = z.string();
const time = z.number().int().describe('milliseconds since the epoch, for people only');

export const poolSchema = z.object({
  v: z.literal(1),
  subnet: z.string(),
  gateway: ip.optional(),
  /** Who made it: the host whose `docker network create` came first. */
  madeBy: z.string(),
  at: time,
});
export type PoolValue = z.infer<typeof poolSchema>;

export const leaseSchema = z.object({
  v: z.literal(1),
  /** pending: asked for, not yet seen running; bound: an endpoint has it; reserved: a gateway or aux address. */
  state: z.enum(['pending', 'bound', 'reserved']),
  role: z.enum(['gateway', 'aux']).optional(),
  /** The host that holds it; for reserved addresses the first that asked. */
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
});
export type LeaseValue = z.infer<typeof leaseSchema>;

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
  firstSeenAt: time,
});
export type HostValue = z.infer<typeof hostSchema>;

/** @throws InternalError that names the key */
export function decode<T>(schema: z.ZodType<T>, key: string, value: string): T {
  const parsed = schema.safeParse(parseJson(value));
  if (parsed.success) return parsed.data;
  throw new InternalError(`the value of ${key} in etcd is damaged: ${z.prettifyError(parsed.error)}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
