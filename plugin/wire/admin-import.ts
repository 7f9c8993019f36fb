/**
 * What other programs left behind, over the admin socket: paths, requests, answers. The answer is a stream of JSON lines
 * like those of plugin/wire/admin-store.ts: a {@link DecisionLine} each, then a {@link ShrikeResultLine}.
 *
 * docs/migrate-from-shrike.md shows the command that uses it.
 */
import { z } from 'zod';
import type { ShrikeCounts } from '../../ipam/migrate/shrike-import.ts';
import type { ShrikeDecision } from '../../ipam/migrate/shrike-plan.ts';

export type { ShrikeCounts, ShrikeDecision };

export const IMPORT_PATHS = {
  /** POST of a {@link ShrikeRequest}. */
  shrike: '/v1/import/shrike',
} as const;

/** A tree of 100,000 addresses is 15 MB. */
export const LARGEST_TREE_BYTES = 64 * 1024 * 1024;

/** The tree itself is read by ipam/migrate/shrike-tree.ts. */
export const shrikeRequest = z.strictObject({
  tree: z.unknown(),
  usedBy: z
    .array(z.strictObject({ file: z.string().max(4096), text: z.string() }))
    .max(10_000)
    .default([]),
  complete: z.boolean().default(false),
  pool: z.string().min(1).max(1000).exactOptional(),
  dryRun: z.boolean().default(false),
});
export type ShrikeRequest = z.input<typeof shrikeRequest>;

export interface DecisionLine {
  readonly decision: ShrikeDecision;
}

export interface ShrikeResultLine {
  readonly result: { readonly dryRun: boolean; readonly counts: ShrikeCounts };
}
