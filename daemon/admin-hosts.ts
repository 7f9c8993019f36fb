/** The admin socket's routes for dead hosts. Forgetting is done in parts of some seconds, each a request of its own. */
import type { Express } from 'express';
import { systemClock } from '../core/clock.ts';
import { deadlineAfter } from '../core/deadline.ts';
import type { Logger } from '../core/log.ts';
import type { Forgetting } from '../ipam/inventory.ts';
import { HOST_PATHS, hostRequest } from '../plugin/wire/admin-hosts.ts';
import { answer, shaped } from './admin-route.ts';

const PART_MS = 3000;

export function addHostRoutes(app: Express, forgetting: Forgetting, logger: Logger): void {
  app.get(
    HOST_PATHS.dead,
    answer(({ query }) => forgetting.survey(shaped(hostRequest, query).host)),
  );
  app.post(
    HOST_PATHS.forget,
    answer(async ({ body }) => {
      const { host } = shaped(hostRequest, body);
      const part = await forgetting.forget(host, deadlineAfter(PART_MS, systemClock));
      logger.warn('a dead host was forgotten by hand', { deadHost: host, ...part });
      return part;
    }),
  );
}
