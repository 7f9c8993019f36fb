/** The admin socket's routes for operators' pools. Each order leaves a line in the log. */
import type { Express } from 'express';
import type { LogFields, Logger } from '../core/log.ts';
import type { PoolAdministration, PoolOutcome } from '../ipam/pool/pool-admin.ts';
import { addPoolRequest, onePoolRequest, POOL_PATHS, setPoolRequest } from '../plugin/wire/admin-pools.ts';
import { answer, shaped } from './admin-route.ts';

export function addPoolRoutes(app: Express, pools: PoolAdministration, logger: Logger): void {
  app.get(
    POOL_PATHS.show,
    answer(({ query }) => pools.show(shaped(onePoolRequest, query).pool)),
  );
  app.post(
    POOL_PATHS.add,
    answer(async ({ body }) => {
      const { name, subnet, ...wishes } = shaped(addPoolRequest, body);
      const outcome = await pools.add(name, subnet, wishes);
      logger.info('a pool was made by hand', fieldsOf(outcome));
      return outcome;
    }),
  );
  app.post(
    POOL_PATHS.set,
    answer(async ({ body }) => {
      const { pool, ...wishes } = shaped(setPoolRequest, body);
      const outcome = await pools.set(pool, wishes);
      logger.info('a pool was changed by hand', fieldsOf(outcome));
      return outcome;
    }),
  );
  app.post(
    POOL_PATHS.remove,
    answer(async ({ body }) => {
      const outcome = await pools.remove(shaped(onePoolRequest, body).pool);
      logger.info('a pool was removed by hand', fieldsOf(outcome));
      return outcome;
    }),
  );
}

function fieldsOf({ pool, changed }: PoolOutcome): LogFields {
  return { pool: pool.subnet, name: pool.name, settings: pool, changed };
}
