/** The settings of bandwidth limits. */
import { z } from 'zod';
import { parseRate } from '../core/rate.ts';

/** A rate as people write it; `none` where nothing is meant. */
const rate = z.string().check(({ value, issues }) => {
  try {
    parseRate(value);
  } catch (error) {
    issues.push({
      code: 'custom',
      input: value,
      message: error instanceof Error ? error.message : String(error),
    });
  }
});

const bothWays = z.strictObject({
  in: rate.exactOptional().describe('What containers receive, e.g. 1gbit.'),
  out: rate.exactOptional().describe('What containers send.'),
});

export const throttle = z.strictObject({
  wishTimeoutMs: z
    .number()
    .int()
    .min(0)
    .max(10_000)
    .default(500)
    .describe(
      'How long the start of a container waits to hear from the engine what limits the container asks for, where the engine ' +
        'waits for the plugin at all (28 and later; with `throttle.admission` all). Usually it takes some milliseconds.',
    ),
  cap: bothWays
    .prefault({})
    .describe(
      'Limits of a container of which nothing is known yet; only until it is known. Default: none but those of its network ' +
        'and pool.',
    ),
  admission: z
    .boolean()
    .default(false)
    .describe(
      'Refuse the start of a container whose limits, with those of the running ones, are more than the parent carries.',
    ),
  capacity: z
    .record(z.string().regex(/^[^\s/]{1,15}$/, 'must be the name of a link'), bothWays)
    .default({})
    .describe(
      'What a parent carries, e.g. {"eth0":{"in":"10gbit","out":"10gbit"}}. Default: the speed of its link, if the link says ' +
        'one. VLANs count on their lower link.',
    ),
  overcommit: z
    .number()
    .min(1)
    .max(1000)
    .default(1)
    .describe('So many times the capacity may be promised to containers.'),
  unlimitedCountsAs: bothWays
    .prefault({})
    .describe('What a container without a limit counts as. Default: nothing.'),
});
