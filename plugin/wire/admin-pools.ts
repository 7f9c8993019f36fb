/**
 * Operators' pools over the admin socket: paths, requests, answers. Settings are texts as people write them on the
 * command line (docs/pools.md), so that there is one place that reads them: ipam/pool/pool-settings.ts.
 */
import { z } from 'zod';
import type { PoolOutcome } from '../../ipam/pool/pool-admin.ts';
import type { PoolReport, RangeReport } from '../../ipam/pool/pool-report.ts';
import type { PoolWishes } from '../../ipam/pool/pool-settings.ts';

export type { PoolOutcome, PoolReport, PoolWishes, RangeReport };

export const POOL_PATHS = {
  add: '/v1/pools/add',
  set: '/v1/pools/set',
  remove: '/v1/pools/remove',
  /** `?pool=NAME` or `?pool=10.77.0.0/16` */
  show: '/v1/pools/show',
} as const;

/** Longer is a mistake, or worse. */
const text = z.string().max(1000);
const texts = z.array(text).max(1000).readonly();

/** An empty text or list removes what is set; what is absent stays as it is. */
const wishes = {
  gateway: text.exactOptional(),
  ranges: texts.exactOptional(),
  addRanges: texts.exactOptional(),
  removeRanges: texts.exactOptional(),
  excludes: texts.exactOptional(),
  addExcludes: texts.exactOptional(),
  removeExcludes: texts.exactOptional(),
  vlan: text.exactOptional(),
  select: text.exactOptional(),
  borrow: z.boolean().exactOptional(),
  quota: text.exactOptional(),
  cooling: text.exactOptional(),
  sticky: z.boolean().exactOptional(),
  keep: text.exactOptional(),
  macPrefix: text.exactOptional(),
  defaults: texts.exactOptional(),
} satisfies { readonly [K in keyof PoolWishes]-?: z.ZodType };

/** Body of POST add; the answer is a `PoolOutcome`. */
export const addPoolRequest = z.strictObject({ name: text, subnet: text, ...wishes });
export type AddPoolRequest = z.input<typeof addPoolRequest>;

/** Body of POST set; the answer is a `PoolOutcome`. */
export const setPoolRequest = z.strictObject({ pool: text.min(1), ...wishes });
export type SetPoolRequest = z.input<typeof setPoolRequest>;

/** Body of POST remove, query of GET show. */
export const onePoolRequest = z.strictObject({ pool: text.min(1) });
export type OnePoolRequest = z.input<typeof onePoolRequest>;
