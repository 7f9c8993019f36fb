/** The admin socket's routes for reservations. Each order leaves a line in the log. */
import type { Express } from 'express';
import { systemClock } from '../core/clock.ts';
import { deadlineAfter } from '../core/deadline.ts';
import type { Logger } from '../core/log.ts';
import type { Reserving } from '../ipam/inventory.ts';
import { RESERVATION_PATHS, reserveRequest, unreserveRequest } from '../plugin/wire/admin-reservations.ts';
import { answer, shaped } from './admin-route.ts';

const TIMEOUT_MS = 4000;

export function addReservationRoutes(app: Express, reservations: Reserving, logger: Logger): void {
  app.post(
    RESERVATION_PATHS.reserve,
    answer(async ({ body }) => {
      const { pool, address, name } = shaped(reserveRequest, body);
      const info = await reservations.reserve(pool, address, name, deadlineAfter(TIMEOUT_MS, systemClock));
      logger.info('an address was reserved by hand', { ...info });
      return info;
    }),
  );
  app.post(
    RESERVATION_PATHS.unreserve,
    answer(async ({ body }) => {
      const { pool, address } = shaped(unreserveRequest, body);
      const info = await reservations.unreserve(pool, address, deadlineAfter(TIMEOUT_MS, systemClock));
      logger.info('a reservation was ended by hand', { ...info });
      return info;
    }),
  );
}
