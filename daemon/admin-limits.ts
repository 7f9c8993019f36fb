/** The admin socket's routes for bandwidth limits and usage. Each order leaves a line in the log. */
import type { Express } from 'express';
import { systemClock } from '../core/clock.ts';
import { deadlineAfter } from '../core/deadline.ts';
import type { Logger } from '../core/log.ts';
import type { LimitOrdering } from '../ipam/people/limit-orders.ts';
import {
  LIMIT_PATHS,
  type LimitChange,
  limitsQuery,
  outcomesRequest,
  removeLimitRequest,
  setLimitRequest,
} from '../plugin/wire/admin-limits.ts';
import { answer, answerOrKnown, shaped } from './admin-route.ts';
import type { LimitPeople } from './limit-people.ts';

export interface LimitRoutesDependencies {
  readonly people: Pick<LimitPeople, 'report' | 'known' | 'usage'>;
  readonly orders: LimitOrdering;
}

const TIMEOUT_MS = 4000;

export function addLimitRoutes(app: Express, deps: LimitRoutesDependencies, logger: Logger): void {
  const { people, orders } = deps;
  const told = (message: string, { leases: _leases, ...change }: LimitChange): void =>
    logger.info(message, { ...change });
  app.get(
    LIMIT_PATHS.list,
    answerOrKnown(
      ({ query }) => {
        const { host, all } = shaped(limitsQuery, query);
        return people.report({ ...(host === undefined ? {} : { host }), all: all !== undefined });
      },
      () => people.known(),
    ),
  );
  app.get(
    LIMIT_PATHS.usage,
    answer(() => people.usage()),
  );
  app.post(
    LIMIT_PATHS.set,
    answer(async ({ body }) => {
      const { container, host, ...limits } = shaped(setLimitRequest, body);
      const target = { container, ...(host === undefined ? {} : { host }) };
      const change = await orders.set(target, limits, deadlineAfter(TIMEOUT_MS, systemClock));
      told('a limit was set by hand', change);
      return change;
    }),
  );
  app.post(
    LIMIT_PATHS.remove,
    answer(async ({ body }) => {
      const { container, host, directions } = shaped(removeLimitRequest, body);
      const target = { container, ...(host === undefined ? {} : { host }) };
      const change = await orders.remove(target, directions, deadlineAfter(TIMEOUT_MS, systemClock));
      told('a limit was taken away by hand', change);
      return change;
    }),
  );
  app.post(
    LIMIT_PATHS.outcomes,
    answer(({ body }) => orders.outcomes(shaped(outcomesRequest, body).leases)),
  );
}
