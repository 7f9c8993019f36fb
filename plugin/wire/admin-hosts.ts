/** Dead hosts over the admin socket: paths, requests, answers. */
import { z } from 'zod';
import type { DeadHost, ForgetProgress } from '../../ipam/inventory.ts';

export type { DeadHost, ForgetProgress };

export const HOST_PATHS = {
  /** GET `?host=h2`: what a dead host has in etcd, a `DeadHost`. */
  dead: '/v1/hosts/dead',
  /** POST: a part of the work, a `ForgetProgress`; to be asked again until it is done. */
  forget: '/v1/hosts/forget',
} as const;

/** Query of GET /v1/hosts/dead and body of POST /v1/hosts/forget. */
export const hostRequest = z.strictObject({ host: z.string().min(1) });
export type HostRequest = z.input<typeof hostRequest>;
